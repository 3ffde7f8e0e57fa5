"""One rollout as a text that a person reads: turns, tool calls, reward, failure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from agentcore_rl.cli.terminal import Style, visible
from agentcore_rl.messages import canonical
from agentcore_rl.rollout import ExpandedTurn, Rollout, Status, StopReason, Tokens, ToolExecution, Turn, Usage

__all__ = ["rollout_json", "transcript"]

_LINES = 24
_CHARACTERS = 2000


def transcript(
    rollout: Rollout, style: Style, *, location: str | None = None, full: bool = False
) -> Iterator[str]:
    """The lines of a rollout's transcript.

    Args:
        rollout: the record.
        style: colours.
        location: where the record is.
        full: do not fold long texts.
    """
    writer = _Writer(rollout, style, full)
    yield from writer.head(location)
    for turn in rollout.turns:
        yield ""
        yield from writer.turn(turn)
    yield ""
    yield from writer.end()


class _Writer:
    def __init__(self, rollout: Rollout, style: Style, full: bool) -> None:
        self._rollout = rollout
        self._style = style
        self._full = full
        self._answers: dict[int, dict[str, Any]] = {}
        self._several = len(rollout.trajectories) > 1

    def head(self, location: str | None) -> Iterator[str]:
        rollout, style = self._rollout, self._style
        good = rollout.status is Status.SUCCEEDED
        status = (style.good if good else style.bad)(rollout.status.value)
        reward = "not judged" if rollout.reward is None else f"reward {rollout.reward.value:g}"
        ended = "" if rollout.stop_reason is StopReason.FINISHED else f", {rollout.stop_reason.value}"
        yield f"{style.strong(visible(rollout.input_id))}  {status}{ended}, {reward}"
        facts = [
            f"run {rollout.run}",
            f"attempt {rollout.attempt}",
            f"model {rollout.model or 'chosen by the app'}",
            _count(len(rollout.turns), "turn"),
            _tokens(rollout.usage),
            f"{rollout.timings.total_s:.1f} s",
        ]
        yield style.dim(visible("  " + ", ".join(fact for fact in facts if fact)))
        if location is not None:
            yield style.dim(visible(f"  record {location}"))
        for reason in rollout.suspect:
            yield style.bad(visible(f"  suspect: {reason}"))

    def turn(self, turn: ExpandedTurn) -> Iterator[str]:
        stored, style = turn.stored, self._style
        for message in self._new_messages(turn):
            yield from self._message(message)
        facts = [
            stored.agent if self._several or stored.agent != "main" else "",
            stored.model or "",
            _tokens(stored.usage),
            stored.finish_reason or "no finish reason",
            f"{stored.seconds:.2f} s",
            f"{len(stored.http)} HTTP attempts" if len(stored.http) > 1 else "",
        ]
        said = visible(", ".join(fact for fact in facts if fact))
        yield f"{style.strong(f'turn {stored.id}')}  {style.dim(said)}"
        answer = turn.answer
        if answer is None:
            errors = [attempt.error for attempt in stored.http if attempt.error]
            yield style.bad(visible(f"  no answer: {errors[-1] if errors else 'it was cut off'}"))
        else:
            self._answers[stored.id] = canonical(answer)
            yield from self._text(_text_of(answer))
            yield from self._calls(answer, stored)
        for reason in stored.suspect:
            yield style.bad(visible(f"  suspect: {reason}"))

    def _new_messages(self, turn: ExpandedTurn) -> list[dict[str, Any]]:
        """What this prompt adds to what has been shown: not the parent's answer, sent back."""
        stored = turn.stored
        new = turn.prompt[stored.prompt.keep :]
        before = self._answers.get(stored.parent) if stored.parent is not None else None
        if before is not None and new and canonical(new[0]) == before:
            return new[1:]
        return new

    def _message(self, message: Mapping[str, Any]) -> Iterator[str]:
        role = str(message.get("role"))
        call = message.get("tool_call_id")
        about = f" {self._style.dim(visible(str(call)))}" if call else ""
        yield f"{self._style.name(visible(role))}{about}"
        yield from self._text(_text_of(message))
        if message.get("tool_calls"):
            yield from self._calls(message, None)

    def _calls(self, answer: Mapping[str, Any], stored: Turn | None) -> Iterator[str]:
        style = self._style
        executions = {} if stored is None else {each.call_id: each for each in stored.executions}
        for call in answer.get("tool_calls") or ():
            function = call.get("function") if isinstance(call, Mapping) else None
            function = function if isinstance(function, Mapping) else {}
            name, arguments = str(function.get("name")), function.get("arguments")
            text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            yield f"  {style.name('calls ' + visible(name))} {self._folded_line(text)}"
            execution = executions.pop(str(call.get("id") if isinstance(call, Mapping) else ""), None)
            if execution is not None:
                yield self._execution(execution)
        for execution in executions.values():
            yield f"  {style.name('ran ' + visible(execution.name))}"
            yield self._execution(execution)

    def _execution(self, execution: ToolExecution) -> str:
        took = "" if execution.seconds is None else f", {execution.seconds:.3f} s"
        text = visible(f"    {execution.outcome.replace('_', ' ')}{took}")
        if execution.error:
            return self._style.bad(f"{text}: {self._folded_line(execution.error)}")
        return self._style.dim(text)

    def end(self) -> Iterator[str]:
        rollout, style = self._rollout, self._style
        if rollout.output is not None:
            text = (
                rollout.output
                if isinstance(rollout.output, str)
                else json.dumps(_plain(rollout.output), ensure_ascii=False)
            )
            yield style.strong("output")
            yield from self._text(text)
        yield f"{style.strong('reward')}  {self._reward()}"
        crosscheck = rollout.crosscheck
        if crosscheck.collected and (
            crosscheck.wire_only or crosscheck.callback_only or crosscheck.differing
        ):
            yield (
                f"{style.strong('cross-check')}  {crosscheck.matched} matched, "
                f"{crosscheck.wire_only} wire only, {crosscheck.callback_only} callback only, "
                f"{crosscheck.differing} differing"
            )
        failure = rollout.failure
        if failure is not None:
            kind = f"failure {failure.kind.value}" + (f" ({failure.type})" if failure.type else "")
            yield style.bad(visible(kind))
            yield from self._text(failure.message)
            if self._full and failure.traceback:
                yield from self._text(failure.traceback)

    def _reward(self) -> str:
        reward = self._rollout.reward
        if reward is None:
            return "none: not judged"
        parts = [f"{reward.value:g}"]
        parts += [
            f"{name} {score:g}" + (f" x {reward.weights[name]:g}" if name in reward.weights else "")
            for name, score in reward.scores.items()
        ]
        parts += [f"metric {name} {value:g}" for name, value in reward.metrics.items()]
        if reward.turn_rewards is not None:
            parts.append(f"per turn {', '.join(f'{value:g}' for value in reward.turn_rewards)}")
        return visible("; ".join(parts))

    def _text(self, text: str) -> Iterator[str]:
        """A text, indented, folded where it is long."""
        if not text:
            return
        shown = text if self._full else text[:_CHARACTERS]
        lines = shown.split("\n")
        if not self._full:
            lines = lines[:_LINES]
        for line in lines:
            yield f"  {visible(line)}"
        left = len(text) - len("\n".join(lines))
        if left > 0:
            yield self._style.dim(f"  ... {left:,} more characters (--full)")

    def _folded_line(self, text: str) -> str:
        line = visible(text.replace("\n", "\\n"))
        if self._full or len(line) <= _CHARACTERS:
            return line
        return f"{line[:_CHARACTERS]} ... {len(line) - _CHARACTERS:,} more characters (--full)"


def _text_of(message: Mapping[str, Any]) -> str:
    """What a message says, reasoning first; parts that are no text by their type."""
    parts = [f"(reasoning) {message[key]}" for key in ("reasoning_content", "reasoning") if message.get(key)][
        :1
    ]
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, Mapping):
            parts.append(str(part["text"]) if "text" in part else f"[{part.get('type')}]")
        elif part is not None:
            parts.append(str(part))
    if message.get("refusal"):
        parts.append(f"(refusal) {message['refusal']}")
    return "\n".join(parts)


def _tokens(usage: Usage | None) -> str:
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return ""
    known = [("?" if n is None else f"{n:,}") for n in (usage.prompt_tokens, usage.completion_tokens)]
    return f"{known[0]} + {known[1]} tokens"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def rollout_json(rollout: Rollout, *, location: str | None = None) -> dict[str, Any]:
    """A record for a program, its turns with their whole prompts."""
    failure, reward = rollout.failure, rollout.reward
    return {
        "id": rollout.input_id,
        **{name: getattr(rollout, name) for name in ("run", "task", "sample", "attempt", "session")},
        "status": rollout.status.value,
        "stop_reason": rollout.stop_reason.value,
        "failure": None if failure is None else {**_fields(failure), "kind": failure.kind.value},
        "reward": None if reward is None else {**_fields(reward)},
        "output": _plain(rollout.output),
        "suspect": list(rollout.suspect),
        "model": rollout.model,
        "usage": _fields(rollout.usage),
        "timings": _fields(rollout.timings),
        "crosscheck": _fields(rollout.crosscheck),
        "counts": dict(rollout.counts),
        "policy_versions": list(rollout.policy_versions),
        "software": dict(rollout.software),
        "trace_id": rollout.trace_id,
        "payload": _plain(rollout.payload),
        "record": location,
        "turns": [_turn_json(turn) for turn in rollout.turns],
    }


def _turn_json(turn: ExpandedTurn) -> dict[str, Any]:
    stored = turn.stored
    return {
        "id": stored.id,
        "parent": stored.parent,
        "agent": stored.agent,
        "messages": turn.prompt,
        "answer": turn.answer,
        "tools": turn.tools,
        "model": stored.model,
        "sampling": dict(stored.sampling),
        "asked": dict(stored.asked),
        "finish_reason": stored.finish_reason,
        "usage": None if stored.usage is None else _fields(stored.usage),
        "prompt_ids": turn.prompt_ids,
        "answer_ids": turn.answer_ids,
        "logprobs": _logprobs(stored.tokens),
        "policy_version": stored.policy_version,
        "executions": [_fields(execution) for execution in stored.executions],
        "http": [_fields(attempt) for attempt in stored.http],
        "scope": stored.scope,
        "source": stored.source,
        "labels": dict(stored.labels),
        "suspect": list(stored.suspect),
        "started_s": stored.started_s,
        "seconds": stored.seconds,
    }


def _logprobs(tokens: Tokens | None) -> list[float] | None:
    return None if tokens is None or tokens.logprobs is None else list(tokens.logprobs)


def _fields(record: Any) -> dict[str, Any]:
    """The fields of a frozen dataclass, sequences as lists and mappings as dicts."""
    return {name: _plain(getattr(record, name)) for name in record.__dataclass_fields__}


def _plain(value: Any) -> Any:
    """The value in JSON's own types; turns that an agent returned are in the record's `turns`."""
    from agentcore_rl.codec import StoredTurns

    if isinstance(value, StoredTurns):
        return {"$see": "turns"}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
