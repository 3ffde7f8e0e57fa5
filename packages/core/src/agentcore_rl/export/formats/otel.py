"""OpenTelemetry's GenAI spans as OTLP/JSON: a `TracesData` per line, as its file exporter writes them.

A rollout is a trace: `invoke_agent` for each agent (sub-agents below the agent that called them), below it a
`chat` for each turn and an `execute_tool` for each tool call that the framework ran. Ids are digests of the
record's key, so that the same record gives the same spans; the trace id is the record's own where it has one.
Names are those of the GenAI semantic conventions; what they have no name for is under `agentcore_rl.`.

A record knows how long a tool ran, not when it began: `execute_tool` begins where its turn's answer ended.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentcore_rl.export.conversations import decoded, message_texts
from agentcore_rl.rollout import ExpandedTurn, Rollout, Status, Trajectory
from agentcore_rl.turn import ToolExecution, Turn

__all__ = ["trace"]

_INTERNAL, _CLIENT, _ERROR = 1, 3, 2
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "stream": "stream",
}


def trace(rollout: Rollout) -> Iterator[dict[str, Any]]:
    """One `TracesData`: the spans of a rollout."""
    spans = _Spans(rollout)
    resource = {
        "service.name": "agentcore-rl",
        "service.version": rollout.software.get("agentcore-rl"),
    }
    yield {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": {"name": "agentcore_rl.export"}, "spans": spans.all()}],
            }
        ]
    }


class _Spans:
    """The spans of one rollout."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._key = f"{rollout.run}/{rollout.input_id}/{rollout.session}"
        own = rollout.trace_id or ""
        self._trace = own if _TRACE_ID.fullmatch(own) else self._digest("trace", 32)
        self._turns = {turn.stored.id: turn for turn in rollout.turns}
        agents = [path.agent for path in rollout.trajectories]
        self._first = agents[0] if agents else "main"
        self._known = set(agents)

    def all(self) -> list[dict[str, Any]]:
        paths = self._rollout.trajectories or [Trajectory(self._first, None, ())]
        return [span for number, path in enumerate(paths) for span in self._agent(number, path)]

    def _digest(self, what: str, length: int) -> str:
        digest = hashlib.sha256(f"{self._key}\0{what}".encode()).hexdigest()[:length]
        return digest if digest.strip("0") else "1".rjust(length, "0")

    def _agent(self, number: int, path: Trajectory) -> Iterator[dict[str, Any]]:
        rollout, turns = self._rollout, list(path.turns)
        root = number == 0
        ends = [turn.started_s + turn.seconds for turn in turns]
        begun = 0.0 if root else min((turn.started_s for turn in turns), default=0.0)
        ended = max([*ends, rollout.timings.total_s]) if root else max(ends, default=begun)
        above = path.parent if path.parent in self._known else self._first
        span = self._span(
            f"invoke_agent {path.agent}",
            f"agent\0{path.agent}",
            None if root or above == path.agent else f"agent\0{above}",
            begun,
            ended - begun,
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.provider.name": _provider(turns),
                "gen_ai.agent.name": path.agent,
                "gen_ai.conversation.id": rollout.session,
                "gen_ai.request.model": rollout.model,
                **(self._about() if root else {}),
            },
        )
        if root:
            span["events"] = list(self._evaluations(ended))
            if rollout.status is not Status.SUCCEEDED:
                failure = rollout.failure
                _fail(span, failure.type if failure else None, failure.message if failure else None)
        yield span
        for turn in turns:
            yield self._chat(self._turns[turn.id], path.agent)
            results = self._results(turn)
            for place, execution in enumerate(turn.executions):
                yield self._tool(turn, place, execution, path.agent, results)

    def _about(self) -> dict[str, Any]:
        rollout = self._rollout
        return {
            "gen_ai.usage.input_tokens": rollout.usage.prompt_tokens,
            "gen_ai.usage.output_tokens": rollout.usage.completion_tokens,
            "agentcore_rl.run": rollout.run,
            "agentcore_rl.task": rollout.task,
            "agentcore_rl.sample": rollout.sample,
            "agentcore_rl.attempt": rollout.attempt,
            "agentcore_rl.status": rollout.status.value,
            "agentcore_rl.stop_reason": rollout.stop_reason.value,
            "agentcore_rl.failure": rollout.failure.kind.value if rollout.failure else None,
            "agentcore_rl.suspect": list(rollout.suspect) or None,
            "agentcore_rl.policy_versions": list(rollout.policy_versions) or None,
        }

    def _evaluations(self, at: float) -> Iterator[dict[str, Any]]:
        """The reward and its scores, as events."""
        reward = self._rollout.reward
        if reward is None:
            return
        for name, value in {**reward.scores, "reward": reward.value}.items():
            yield {
                "name": "gen_ai.evaluation.result",
                "timeUnixNano": self._nanos(at),
                "attributes": _attributes(
                    {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": float(value)}
                ),
            }

    def _chat(self, expanded: ExpandedTurn, agent: str) -> dict[str, Any]:
        turn, rollout = expanded.stored, self._rollout
        prompt = [decoded(rollout.messages[at]) for at in rollout.turns.prompt_indexes(turn)]
        answer = None if turn.answer is None else decoded(rollout.messages[turn.answer])
        system = [one for one in prompt if _role(one) in ("system", "developer")]
        rest = [one for one in prompt if _role(one) not in ("system", "developer")]
        finish = turn.finish_reason
        sampled = {
            f"gen_ai.request.{name}": turn.sampling.get(key)
            for key, name in _SAMPLING.items()
            if isinstance(turn.sampling.get(key), int | float)
        }
        model = turn.model or rollout.model
        span = self._span(
            f"chat {model}" if model else "chat",
            f"chat\0{turn.id}",
            f"agent\0{agent}",
            turn.started_s,
            turn.seconds,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": _provider([turn]),
                "gen_ai.request.model": model,
                "gen_ai.agent.name": agent,
                "gen_ai.conversation.id": rollout.session,
                "gen_ai.response.id": turn.response_id,
                "gen_ai.response.finish_reasons": [finish] if finish else None,
                "gen_ai.usage.input_tokens": turn.usage and turn.usage.prompt_tokens,
                "gen_ai.usage.output_tokens": turn.usage and turn.usage.completion_tokens,
                "gen_ai.system_instructions": _json(
                    [{"type": "text", "content": message_texts(one)} for one in system]
                ),
                "gen_ai.input.messages": _json([_spoken(one) for one in rest]),
                "gen_ai.output.messages": _json(
                    [{**_spoken(answer), "finish_reason": finish or "error"}] if answer is not None else []
                ),
                "gen_ai.tool.definitions": _json(
                    [] if turn.tools is None else _definitions(decoded(rollout.tools[turn.tools]))
                ),
                **sampled,
                "agentcore_rl.turn": turn.id,
                "agentcore_rl.parent": turn.parent,
                "agentcore_rl.policy_version": turn.policy_version,
                "agentcore_rl.suspect": list(turn.suspect) or None,
            },
            kind=_CLIENT,
        )
        last = turn.http[-1] if turn.http else None
        if answer is None:
            status = None if last is None or last.status is None else str(last.status)
            _fail(span, status, (last.error if last else None) or "no whole answer")
        return span

    def _results(self, turn: Turn) -> dict[str, str]:
        """What the model was told of a turn's tool calls: id of the call -> the tool message's text."""
        found: dict[str, str] = {}
        for child in self._turns.values():
            if child.stored.parent != turn.id:
                continue
            for at in child.stored.prompt.new:
                message = decoded(self._rollout.messages[at])
                if _role(message) == "tool":
                    found.setdefault(str(message.get("tool_call_id")), message_texts(message))
        return found

    def _tool(
        self, turn: Turn, place: int, execution: ToolExecution, agent: str, results: Mapping[str, str]
    ) -> dict[str, Any]:
        span = self._span(
            f"execute_tool {execution.name}",
            f"tool\0{turn.id}\0{place}",
            f"agent\0{agent}",
            turn.started_s + turn.seconds,
            execution.seconds or 0.0,
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.agent.name": agent,
                "gen_ai.tool.name": execution.name,
                "gen_ai.tool.type": "function",
                "gen_ai.tool.call.id": execution.call_id or None,
                "gen_ai.tool.call.arguments": None
                if execution.arguments is None
                else json.dumps(execution.arguments),
                "gen_ai.tool.call.result": results.get(execution.call_id),
                "agentcore_rl.turn": turn.id,
                "agentcore_rl.outcome": execution.outcome,
                "agentcore_rl.verdict": None if execution.verdict is None else json.dumps(execution.verdict),
            },
        )
        if execution.outcome != "succeeded":
            _fail(span, execution.outcome, execution.error)
        return span

    def _span(
        self,
        name: str,
        identity: str,
        parent: str | None,
        start_s: float,
        seconds: float,
        attributes: Mapping[str, Any],
        kind: int = _INTERNAL,
    ) -> dict[str, Any]:
        span = {
            "traceId": self._trace,
            "spanId": self._digest(identity, 16),
            "name": name,
            "kind": kind,
            "startTimeUnixNano": self._nanos(start_s),
            "endTimeUnixNano": self._nanos(start_s + max(seconds, 0.0)),
            "attributes": _attributes(attributes),
            "status": {},
        }
        if parent is not None:
            span["parentSpanId"] = self._digest(parent, 16)
        return span

    def _nanos(self, seconds: float) -> str:
        accepted = round(self._rollout.timings.accepted_at * 1e9)
        return str(min(max(accepted + round(seconds * 1e9), 0), 2**63 - 1))


def _fail(span: dict[str, Any], kind: str | None, message: str | None) -> None:
    span["status"] = {"code": _ERROR, "message": message or ""}
    span["attributes"] += _attributes({"error.type": kind or "_OTHER"})


def _provider(turns: Iterable[Turn]) -> str:
    """Whose API was spoken: everything on the wire is OpenAI's, whoever serves it."""
    return "openai" if all(turn.source == "wire" for turn in turns) else "_OTHER"


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any(value)} for key, value in values.items() if value is not None]


def _any(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if -(2**63) <= value < 2**63 else {"doubleValue": float(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any(one) for one in value]}}
    return {"stringValue": str(value)}


def _json(parts: list[Any]) -> str | None:
    """As a text; halves of surrogate pairs, which no file may hold, become `?`."""
    return json.dumps(parts, ensure_ascii=False).encode(errors="replace").decode() if parts else None


def _role(message: Any) -> str:
    return str(message.get("role")) if isinstance(message, dict) else "user"


def _spoken(message: Any) -> dict[str, Any]:
    """A message in the form of the conventions: a role, and parts."""
    if not isinstance(message, dict):
        return {"role": "user", "parts": [{"type": "text", "content": str(message)}]}
    role = _role(message)
    if role == "tool":
        part = {
            "type": "tool_call_response",
            "id": message.get("tool_call_id"),
            "response": message_texts(message),
        }
        return {"role": role, "parts": [part]}
    parts: list[dict[str, Any]] = []
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thought, str) and thought:
        parts.append({"type": "reasoning", "content": thought})
    text = message_texts(message)
    if text:
        parts.append({"type": "text", "content": text})
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            parts.append(
                {
                    "type": "tool_call",
                    "id": call.get("id"),
                    "name": str(function.get("name") or ""),
                    "arguments": _arguments(function.get("arguments")),
                }
            )
    return {"role": role, "parts": parts}


def _arguments(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _definitions(tools: Any) -> list[dict[str, Any]]:
    found = []
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            kept = {key: function[key] for key in ("name", "description", "parameters") if key in function}
            found.append({"type": "function", **kept})
    return found
