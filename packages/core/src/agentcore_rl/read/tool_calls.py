"""The tool calls of a record, each judged: parsed, known, valid by its schema, executed.

All of it is told from the record alone: what the model wrote, what its request offered, what the
framework's callbacks saw of the tools. docs/tool-calls.md has the rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from agentcore_rl.read.call_errors import Finding, ToolCallError, gravest
from agentcore_rl.read.canonical import canonical_json
from agentcore_rl.read.executions import SentBack, paired
from agentcore_rl.read.json_schema import verdict
from agentcore_rl.read.offered import Offered, offered_tools
from agentcore_rl.rollout import Rollout, ToolExecution, Turn
from agentcore_rl.strict_json import MAX_DEPTH, nesting

__all__ = ["ToolCall", "tool_calls"]

_RECOVERY_CALLS = 3
_GRAMMARS = (
    *("guided_json", "guided_regex", "guided_grammar", "guided_choice", "structured_outputs"),
    *("grammar", "json_schema"),
)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call that the model made.

    Attributes:
        turn: id of the turn whose answer holds it.
        id: the call's id; empty when the answer gave none.
        name: the tool's name as the model wrote it.
        arguments: the arguments' text as the model wrote it.
        parsed: the arguments, decoded; None when they are not a JSON object.
        known: the request offered a tool of this name.
        agent: label of the trajectory's agent.
        policy_version: of the policy that sampled it; None when unknown.
        schema_valid: whether the arguments satisfy the tool's schema; None when that cannot be judged: the
            tool is unknown or takes free text, the arguments are no object, the schema is invalid, or it
            needs what is never done (fetching, backtracking, boundless work).
        error: the gravest thing that is wrong, by its class; None when nothing is known to be.
        errors: everything that was found, also what could not be judged (findings without an error).
        undeclared: arguments that the schema does not name, though it lets them pass.
        executed: whether the tool was run; None when nobody watched (the rollout had no collector).
        execution_error: what running it came to, where that was an error; None when it was none.
        duration_s: how long it ran, in seconds; None when unknown.
        repeated: it was for nothing: an earlier call had the same tool and arguments and got the same
            back (where the record does not tell what came back: an earlier call of the trajectory).
        recovered: of a call with an error: whether one of the next three calls in later answers of its
            trajectory called the same tool without one (after an unknown tool: any tool). None without.
        constrained: it was sampled under a grammar, so that its form tells nothing of the policy.
    """

    turn: int
    id: str
    name: str
    arguments: str
    parsed: dict[str, Any] | None
    known: bool
    agent: str | None = None
    policy_version: int | None = None
    schema_valid: bool | None = None
    error: ToolCallError | None = None
    errors: tuple[Finding, ...] = ()
    undeclared: tuple[str, ...] = ()
    executed: bool | None = None
    execution_error: str | None = None
    duration_s: float | None = None
    repeated: bool = False
    recovered: bool | None = None
    constrained: bool = False

    @property
    def well_formed(self) -> bool:
        """Its arguments are a JSON object and its tool was offered."""
        return self.known and self.parsed is not None

    @property
    def format_ok(self) -> bool | None:
        """The format level: parsed, known and valid by the schema; None when validity cannot be judged."""
        return False if self.error is not None and self.error.of_format else self.schema_valid

    @property
    def execution_ok(self) -> bool | None:
        """The execution level: the tool was run, and no error came of it; None when nobody watched."""
        return None if self.executed is None else self.executed and self.execution_error is None


def tool_calls(rollout: Rollout) -> Iterator[ToolCall]:
    """Every tool call in the answers of a record, in the order of the turns.

    A call that a server could not parse out of the model's text is text, not a call, and so is not here
    (`spelled_calls` looks for those).
    """
    found = [call for index, path in enumerate(rollout.trajectories) for call in _of_path(rollout, index)]
    if not found:
        return iter(())
    found.sort(key=lambda each: each.order)
    return (
        each.call if not again and after is None else replace(each.call, repeated=again, recovered=after)
        for each, again, after in zip(found, _repeated(rollout, found), _recovered(found), strict=True)
    )


class _Found(NamedTuple):
    """A call, and where it stands."""

    order: tuple[int, int]
    path: int
    occurrence: int
    call: ToolCall


def _of_path(rollout: Rollout, index: int) -> Iterator[_Found]:
    path = rollout.trajectories[index]
    for turn in path.turns:
        written = _written(rollout, turn)
        if not written:
            continue
        offered = {} if turn.tools is None else offered_tools(rollout.tools[turn.tools])
        executions = paired([(call_id, name) for call_id, name, _ in written], turn.executions)
        # Where calls went unseen by callbacks, an answer of whose tools nothing was heard may be one of them.
        watched = rollout.crosscheck.collected and (bool(turn.executions) or not rollout.crosscheck.wire_only)
        constrained = _is_constrained(turn)
        ids: dict[str, int] = defaultdict(int)
        for number, ((call_id, name, text), execution) in enumerate(zip(written, executions, strict=True)):
            form = _judged(name, text, offered.get(name))
            run = _run(execution, watched)
            errors = (*form.findings, *run.findings)
            call = ToolCall(
                turn=turn.id,
                id=call_id,
                name=name,
                arguments=text,
                parsed=form.parsed,
                known=name in offered,
                agent=path.agent,
                policy_version=turn.policy_version,
                schema_valid=form.valid,
                error=gravest(errors) if errors else None,
                errors=errors,
                undeclared=form.undeclared,
                executed=run.executed,
                execution_error=run.error,
                duration_s=run.seconds,
                constrained=constrained,
            )
            yield _Found((turn.id, number), index, ids[call_id], call)
            ids[call_id] += 1


def _written(rollout: Rollout, turn: Turn) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call in a turn's answer, as the model wrote them."""
    answer = None if turn.answer is None else _object(msgspec.json.decode(rollout.messages[turn.answer]))
    calls = (answer or {}).get("tool_calls")
    written = []
    for entry in calls if isinstance(calls, list) else ():
        call = _object(entry)
        custom = call.get("type") == "custom"
        said = _object(call.get("custom" if custom else "function"))
        arguments = said.get("input" if custom else "arguments")
        text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
        written.append((str(call.get("id") or ""), str(said.get("name") or ""), text))
    return written


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class _Form(NamedTuple):
    """The format level of a call."""

    parsed: dict[str, Any] | None = None
    valid: bool | None = None
    findings: Sequence[Finding] = ()
    undeclared: tuple[str, ...] = ()


def _judged(name: str, text: str, tool: Offered | None) -> _Form:
    schema = None if tool is None else tool.schema
    if tool is not None and schema is None:  # a custom tool takes any text
        return _Form()
    value, problem = _decoded(text)
    parsed = value if problem is None and isinstance(value, dict) else None
    findings: list[Finding] = [] if problem is None else [problem]
    if problem is None and parsed is None:
        findings.append(Finding("$", ToolCallError.NOT_AN_OBJECT, "The arguments are no JSON object."))
    if schema is None:
        sentence = f"No tool {name[:80]!r} was offered." if name else "The call names no tool."
        findings.append(Finding("$", ToolCallError.UNKNOWN_TOOL, sentence))
    if schema is None or parsed is None:
        return _Form(parsed, None, findings)
    of_schema = schema.check(parsed, size=len(text))
    undeclared: tuple[str, ...] = ()
    if schema.names is not None and not schema.names >= parsed.keys():
        refused = {one.path for one in of_schema if one.error is ToolCallError.UNEXPECTED_ARGUMENT}
        undeclared = () if refused else tuple(key for key in parsed if key not in schema.names)
    return _Form(parsed, verdict(of_schema), [*findings, *of_schema], undeclared)


def _decoded(text: str) -> tuple[Any, Finding | None]:
    """The value of a JSON text, or why it is none that a reader can hold."""
    try:
        data = text.encode()
        if nesting(data) > MAX_DEPTH:
            return None, _invalid(f"they are nested deeper than {MAX_DEPTH} levels")
        return msgspec.json.decode(data), None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return None, _invalid(str(error).rstrip("."))


def _invalid(why: str) -> Finding:
    return Finding("$", ToolCallError.INVALID_JSON, f"The arguments are no JSON that can be read: {why}.")


class _Run(NamedTuple):
    """The execution level of a call."""

    executed: bool | None
    error: str | None = None
    seconds: float | None = None
    findings: Sequence[Finding] = ()


def _run(execution: ToolExecution | None, watched: bool) -> _Run:
    if execution is None:
        missing = Finding("$", ToolCallError.NOT_EXECUTED, "The tool was not run.")
        return _Run(False, findings=[missing]) if watched else _Run(None)
    if execution.outcome == "succeeded":
        return _Run(True, seconds=execution.seconds)
    ran = execution.outcome != "unknown_tool"
    said = execution.error or ("The tool failed." if ran else "The framework knows no such tool.")
    kind = ToolCallError.TOOL_ERROR if ran else ToolCallError.NOT_EXECUTED
    sentence = f"The tool failed: {said}" if ran else f"The tool was not run: {said}"
    return _Run(ran, said, execution.seconds, [Finding("$", kind, sentence)])


def _is_constrained(turn: Turn) -> bool:
    """Whether the turn says that its answer was sampled under a grammar."""
    if "constrained" in turn.suspect or any(turn.sampling.get(name) is not None for name in _GRAMMARS):
        return True
    return _object(turn.sampling.get("response_format")).get("type") in ("json_schema", "json_object")


def _repeated(rollout: Rollout, found: Sequence[_Found]) -> list[bool]:
    """Of each call, whether it was for nothing."""
    keys = [(each.call.name, _arguments_key(each.call)) for each in found]
    if len(set(keys)) == len(keys):
        return [False] * len(keys)
    sent_back = SentBack(rollout)
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    paths: dict[tuple[str, str], set[int]] = defaultdict(set)
    untold: dict[tuple[str, str], set[int]] = defaultdict(set)
    repeated = []
    for each, key in zip(found, keys, strict=True):
        back = sent_back.of(each.call.turn, each.call.id, each.occurrence)
        if back is None:
            repeated.append(each.path in paths[key])
            untold[key].add(each.path)
        else:
            repeated.append(back in told[key] or each.path in untold[key])
            told[key].add(back)
        paths[key].add(each.path)
    return repeated


def _arguments_key(call: ToolCall) -> str:
    return f" {call.arguments}" if call.parsed is None else canonical_json(call.parsed)


def _recovered(found: Sequence[_Found]) -> list[bool | None]:
    """Of each call with an error, whether the agent got over it."""
    by_path: dict[int, list[ToolCall]] = defaultdict(list)
    for each in found:
        by_path[each.path].append(each.call)
    places: dict[int, int] = defaultdict(int)
    recovered: list[bool | None] = []
    for each in found:
        calls, at = by_path[each.path], places[each.path]
        places[each.path] += 1
        if each.call.error is None:
            recovered.append(None)
            continue
        while (
            at < len(calls) and calls[at].turn == each.call.turn
        ):  # calls beside it did not know of the error
            at += 1
        unknown = not each.call.known
        later = calls[at : at + _RECOVERY_CALLS]
        recovered.append(
            any(call.error is None and (unknown or call.name == each.call.name) for call in later)
        )
    return recovered
