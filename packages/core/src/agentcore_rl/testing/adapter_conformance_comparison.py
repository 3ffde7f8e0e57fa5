"""One script in every adapter: the messages that are recorded, beside those that the script says.

"Identical" means: equal in canonical form, but for what an adapter declares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentcore_rl.adapter import Deviations
from agentcore_rl.messages import Message, canonical
from agentcore_rl.testing.adapter_conformance_player import (
    INSTRUCTIONS,
    PROMPT,
    TOOLS,
    Played,
    Player,
    said,
)
from agentcore_rl.testing.script import Answer, ToolCall

__all__ = [
    "SCRIPT",
    "Difference",
    "compare_adapter",
    "conversation",
    "differences",
    "recorded_conversation",
    "script_for",
]

SCRIPT = (
    Answer(
        'Zwölf – 你好 "quoted" \\ back\n\ttab 😀',
        tool_calls=[ToolCall("add", '{"a":1,  "b":2}', id="call_spaced")],
        reasoning='Let me "think" – ünd\nmore.',
    ),
    Answer(
        tool_calls=[
            ToolCall("echo", {"text": 'Grüße\u2028\n"q" \\ 😀 </tool>'}, id="call_echo"),
            ToolCall("add", {"b": -2, "a": 10**15}, id="call_add"),
        ]
    ),
    Answer("", tool_calls=[ToolCall("fail", {"text": "kaputt: ü"}, id="call_fail")]),
    Answer("Ende: 3 ✓"),
)
"""Text beside calls, reasoning, parallel calls, odd characters, empty and absent content, a failing tool."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One message of a conversation, as the script has it and as the record has it.

    Attributes:
        expected: by the script; None where the record has a message too many.
        recorded: None where the record lacks it.
        deviation: the declared deviation that explains it; None when nothing does, "" when both are
            equal.
    """

    expected: Message | None
    recorded: Message | None
    deviation: str | None


def conversation(script: Sequence[Answer] = SCRIPT) -> list[Message]:
    """The messages that this script spells: instructions, prompt, answers and the tools' own words.

    The message of a tool that raises has its `error` instead of a content, which each framework words.
    """
    tools = {tool.name: tool.function for tool in TOOLS}
    messages: list[Message] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": PROMPT},
    ]
    for answer in script:
        message = said(answer)
        messages.append(message)
        for call in canonical(message).get("tool_calls", ()):
            function = tools[call["name"]]
            told: Message = {"role": "tool", "tool_call_id": call["id"]}
            try:
                told["content"] = function(**call["arguments"]["json"]) if function is not None else None
            except ValueError as error:
                told["error"] = str(error)
            messages.append(told)
    return messages


def differences(
    recorded: Sequence[Message], deviations: Deviations, script: Sequence[Answer] = SCRIPT
) -> list[Difference]:
    """Each message of the script's conversation beside the recorded one, in order."""
    expected = conversation(script)
    longest = max(len(expected), len(recorded))
    pairs = zip(
        [*expected, *[None] * (longest - len(expected))],
        [*recorded, *[None] * (longest - len(recorded))],
        strict=True,
    )
    return [Difference(left, right, _explained(left, right, deviations)) for left, right in pairs]


def script_for(deviations: Deviations) -> Sequence[Answer]:
    """`SCRIPT`, without the tool that raises where its exception would end the agent."""
    if deviations.tool_exception == "answered":
        return SCRIPT
    return [line for line in SCRIPT if all(call.name != "fail" for call in line.tool_calls)]


def recorded_conversation(played: Played) -> list[Message]:
    """The last turn's prompt and answer."""
    turns = played.turns
    return turns[-1].messages if len(turns) else []


async def compare_adapter(adapter: Any, *, stream: bool) -> list[Difference]:
    """Play `SCRIPT` in one adapter, and compare its whole conversation with the script's."""
    script = script_for(adapter.deviations)
    played = await Player(adapter).play(script, stream=stream)
    return differences(recorded_conversation(played), adapter.deviations, script)


def _explained(expected: Message | None, recorded: Message | None, deviations: Deviations) -> str | None:
    if expected is None or recorded is None:
        return None
    left, right = canonical(expected), canonical(recorded)
    if "error" in expected:
        text = str(right.pop("content", ""))
        error = str(expected["error"])
        return "tool_error_text" if left == right and deviations.is_tool_error(text, error) else None
    if left == right:
        return ""
    if "tool_calls" in left and not deviations.keeps_text_with_tools:
        left.pop("content", None)
        if left == right:
            return "keeps_text_with_tools"
    return None
