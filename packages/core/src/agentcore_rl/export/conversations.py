"""The branches of a rollout as chat messages, for formats that know no token ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from agentcore_rl.export.branches import is_partial
from agentcore_rl.export.origin import Origin
from agentcore_rl.export.terms import Terms, Verdict, verdict
from agentcore_rl.rollout import Rollout
from agentcore_rl.turn import Turn

__all__ = ["Conversation", "conversations_of", "decoded", "message_texts", "parsed_arguments"]

_KEPT = ("role", "name", "content", "tool_calls", "tool_call_id", "refusal", "reasoning_content")
_REASONING = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True, slots=True)
class Conversation(Origin):
    """One branch of one agent's turns as messages.

    Attributes beside those of `Origin`:
        messages: the last turn's prompt and its answer. Answers of earlier turns stand as the model said
            them, not as the framework sent them back. Keys that no chat API documents are left out.
        answers: index of each message that the policy sampled -> the turn's id.
        trained: of these, those that train here; the others are shared with an earlier branch, or cut.
        tools: the tools that the last turn offered.
        sampling: parameters of the last turn.
    """

    messages: list[dict[str, Any]]
    answers: Mapping[int, int]
    trained: frozenset[int]
    tools: list[dict[str, Any]]
    sampling: Mapping[str, Any]


def conversations_of(
    rollout: Rollout, terms: Terms | None = None, *, needs_reward: bool = False
) -> list[Conversation]:
    """The branches of one rollout that end with a whole answer; for each agent that of most turns first.

    An answer that several branches share trains in the first of them.
    """
    judged = verdict(rollout, terms or Terms(), needs_reward=needs_reward)
    if judged.left_out is not None:
        return []
    found: list[Conversation] = []
    trained: set[int] = set()
    for agent, line in _lines(rollout):
        found.append(_conversation(rollout, judged, len(found), agent, line, trained))
        trained.update(turn.id for turn in line)
    return found


def _lines(rollout: Rollout) -> Iterator[tuple[str, list[Turn]]]:
    """Each agent's paths of turns, as the record's parents say, root first."""
    turns = {turn.id: turn for path in rollout.trajectories for turn in path.turns}
    for path in rollout.trajectories:
        kept = [turn for turn in path.turns if not is_partial(turn)]
        inner: set[int] = set()
        for turn in kept:
            at = turn.parent
            while at is not None and at not in inner:
                inner.add(at)
                at = turns[at].parent
        lines = []
        for turn in kept:
            if turn.id in inner:
                continue
            line = [turn]
            while line[-1].parent is not None:
                line.append(turns[line[-1].parent])
            lines.append(line[::-1])
        lines.sort(key=lambda line: (-len(line), line[-1].id))
        for line in lines:
            yield path.agent, line


def _conversation(
    rollout: Rollout, judged: Verdict, number: int, agent: str, line: list[Turn], trained: set[int]
) -> Conversation:
    turns = rollout.turns
    last = line[-1]
    indexes = turns.prompt_indexes(last)
    answers: dict[int, int] = {}
    for turn in line[:-1]:
        at = len(turns.prompt_indexes(turn))
        if turn.answer is not None and at < len(indexes):
            indexes[at] = turn.answer
            answers[at] = turn.id
    if last.answer is not None:
        answers[len(indexes)] = last.id
        indexes.append(last.answer)
    whole = {turn.id for turn in line if not is_partial(turn)}
    messages = [_message(rollout.messages[index]) for index in indexes]
    answers = {at: turn for at, turn in answers.items() if messages[at].get("role") == "assistant"}
    return Conversation(
        **Origin.fields(rollout, judged, number, agent),
        messages=messages,
        answers=answers,
        trained=frozenset(at for at, turn in answers.items() if turn in whole and turn not in trained),
        tools=[] if last.tools is None else _list(decoded(rollout.tools[last.tools])),
        sampling=last.sampling,
    )


def decoded(raw: msgspec.Raw | bytes) -> Any:
    """A message or a list of tools of a record; halves of surrogate pairs, which no file holds, as `?`."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _mended(json.loads(bytes(raw).decode(errors="replace")))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_mended(one) for one in value]
    if isinstance(value, dict):
        return {_mended(name): _mended(one) for name, one in value.items()}
    return value


def _message(raw: msgspec.Raw) -> dict[str, Any]:
    message = decoded(raw)
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return {"role": "user", "content": message if isinstance(message, str) else json.dumps(message)}
    kept = {name: message[name] for name in _KEPT if message.get(name) is not None}
    if "reasoning_content" not in kept:
        thought = next((message[name] for name in _REASONING if isinstance(message.get(name), str)), None)
        if thought:
            kept["reasoning_content"] = thought
    calls = kept.get("tool_calls")
    if isinstance(calls, list) and calls:
        kept["tool_calls"] = [_call(call) for call in calls]
    else:
        kept.pop("tool_calls", None)
    if "content" not in kept:
        kept["content"] = None if "tool_calls" in kept else ""
    return kept


def _call(call: Any) -> dict[str, Any]:
    call = call if isinstance(call, dict) else {}
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments if arguments is not None else {})
    return {
        "id": str(call.get("id") or ""),
        "type": "function",
        "function": {"name": str(function.get("name") or ""), "arguments": text},
    }


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def message_texts(message: Mapping[str, Any]) -> str:
    """All text of a message's content."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def parsed_arguments(conversation: Conversation) -> Conversation:
    """With arguments of tool calls as objects, as chat templates want them; what is no object stays text."""
    return replace(conversation, messages=[_parsed(message) for message in conversation.messages])


def _parsed(message: dict[str, Any]) -> dict[str, Any]:
    if "tool_calls" not in message:
        return message
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        try:
            value = json.loads(function["arguments"])
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            function = {**function, "arguments": _mended(value)}
        calls.append({**call, "function": function})
    return {**message, "tool_calls": calls}
