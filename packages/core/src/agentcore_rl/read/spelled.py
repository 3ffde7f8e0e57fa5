"""Answers that spell a tool call in their text, which no parser took.

A server that does not know how its model writes calls, or a model that writes them wrongly, leaves a call in
the text: nothing is run, and counts of tool calls do not see it. What is looked for is narrow, so that an
answer that speaks about calls is not taken for one. All of this must hold:

1. the request offered tools and did not forbid them (`tool_choice: "none"`);
2. the answer has no tool calls of its own;
3. its text has a mark of a known way to write calls, and behind it, within 200 characters, the name of an
   offered tool; or an object that begins `{"name": "TOOL", "arguments":` (or with the words `tool`,
   `function`, `action` and `parameters`, `args`, `input`) with an offered tool; or the lines
   `Action: TOOL` and `Action Input:`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agentcore_rl.read.offered import offered_tools
from agentcore_rl.rollout import Rollout, Turn

__all__ = ["SpelledCall", "spelled_calls"]

_MARKS = (
    *("<tool_call>", "<tool_calls>", "<|tool_call", "<function_call", "<function=", "<invoke name="),
    *("[TOOL_CALLS]", "<|python_tag|>", "<｜tool▁call", "to=functions."),
)
_WITHIN = 200
_MOST = 50
_LOOKED_AT = 200_000
_OBJECT = re.compile(
    r'\{\s*"(?:name|tool|tool_name|function|action)"\s*:\s*"([^"\\]{1,128})"\s*,'
    r'\s*"(?:arguments|parameters|args|input|action_input)"\s*:'
)
_ACTION = re.compile(r"^Action: *([^\n]{1,128}?) *\n+Action Input:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SpelledCall:
    """A tool call that stayed text.

    Attributes:
        turn: id of the turn whose answer it is.
        agent: label of the trajectory's agent.
        name: the tool.
        form: how it is written: a mark, "object" or "action".
    """

    turn: int
    agent: str
    name: str
    form: str


def spelled_calls(rollout: Rollout) -> Iterator[SpelledCall]:
    """The answers of a record that spell a call, one at most of each."""
    for path in rollout.trajectories:
        for turn in path.turns:
            if turn.tools is None or turn.answer is None or turn.sampling.get("tool_choice") == "none":
                continue
            text = _text(rollout, turn)
            found = _look(text[:_LOOKED_AT], offered_tools(rollout.tools[turn.tools])) if text else None
            if found is not None:
                yield SpelledCall(turn.id, path.agent, *found)


def _text(rollout: Rollout, turn: Turn) -> str:
    answer: Any = msgspec.json.decode(rollout.messages[turn.answer or 0])
    if not isinstance(answer, dict) or answer.get("tool_calls"):
        return ""
    content = answer.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _look(text: str, offered: Mapping[str, Any]) -> tuple[str, str] | None:
    """Name and form of the call that a text spells."""
    for mark in _MARKS:
        for behind in text.split(mark, _MOST)[1:]:
            for name in offered:
                if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", behind[:_WITHIN]):
                    return name, mark
    for pattern, form in ((_OBJECT, "object"), (_ACTION, "action")):
        for match in pattern.finditer(text):
            if match[1] in offered:
                return match[1], form
    return None
