"""What a framework does to messages, measured from what it sends to a scripted model."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from agentcore_rl.adapter import Deviations
from agentcore_rl.messages import Message
from agentcore_rl.testing.adapter_conformance_player import Played, Player
from agentcore_rl.testing.script import Answer, ToolCall

__all__ = ["HiddenCall", "measure_deviations"]

HiddenCall = Callable[[Any], Awaitable[Any]]
"""Given an agent with a collector: makes the framework call the model where no callback sees it."""

_SPACED = '{"a":1,  "b":2}'
_ERROR = "this (always) fails: 42"
_CUT = '{"a": 1, "b": 2'
"""Arguments that lack their last brace: completed, they are what the tool wants."""


async def measure_deviations(adapter: Any, *, hidden_call: HiddenCall | None = None) -> Deviations:
    """The deviations that this adapter's agents show with the framework that is installed here.

    Args:
        adapter: a `FrameworkAdapter` and `AgentBuilder`.
        hidden_call: how the framework is made to call the model past its callbacks, where it has a
            way; none of the suite's agents does.

    Returns:
        What was seen. A behaviour that no value of a field foresees is described in its place.
    """
    player, declared = Player(adapter), adapter.deviations
    spaced = await player.play(
        [
            Answer("I add.", tool_calls=[ToolCall("add", _SPACED, id="call_1")], reasoning="One and two."),
            Answer("3"),
        ]
    )
    failed = await player.play([Answer(tool_calls=[ToolCall("fail", {"text": _ERROR})]), Answer("ok")])
    cut = await player.play([Answer("so far", finish_reason="length")])
    empty = await player.play([Answer("")])
    bare = await player.play([Answer("ok")], tools=())
    broken = [await _broken(player, stream=stream) for stream in (False, True)]
    asking = _next_prompt(spaced, "a call of a tool")
    [call] = [call for message in asking for call in message.get("tool_calls") or ()]
    [answer] = [message for message in asking if message["role"] == "assistant"]
    everything = [spaced, failed, cut, empty, bare, *broken]
    return Deviations(
        bad_json=_fate(broken[0]),  # type: ignore[arg-type]
        bad_json_streamed=_fate(broken[1]),  # type: ignore[arg-type]
        tool_exception="answered" if len(failed.calls) > 1 else "raises",
        tool_error_text=_error_text(failed, good=str(asking[-1].get("content")), declared=declared),
        keeps_reasoning=any("reasoning" in key for key in answer),
        keeps_text_with_tools=bool(answer.get("content")),
        args_reserialised=call["function"]["arguments"] != _SPACED,
        content_parts=any(isinstance(message.get("content"), list) for message in asking),
        adds_name=any("name" in message for message in asking),
        length_raises=cut.error is not None,
        empty_raises=empty.error is not None,
        empty_tools_list=(bare.calls[0].json or {}).get("tools") == [] if bare.calls else False,
        hidden_calls=any(played.agreement[1] for played in everything)
        or (hidden_call is not None and await _hides(player, hidden_call)),
    )


async def _broken(player: Player, *, stream: bool) -> Played:
    call = ToolCall("add", _CUT, id="call_1")
    return await player.play([Answer(tool_calls=[call]), Answer("ok")], stream=stream)


def _fate(played: Played) -> str:
    """What became of arguments that are no JSON."""
    if len(played.calls) < 2:
        return "stop"
    calls = [call for message in _next_prompt(played) for call in message.get("tool_calls") or ()]
    if not calls:
        return "dropped"
    arguments = str(calls[0]["function"]["arguments"])
    if arguments == _CUT:
        return "kept"
    try:
        value = json.loads(arguments)
    except ValueError:
        value = None
    return {"{}": "empty_object", '{"a": 1, "b": 2}': "repaired"}.get(json.dumps(value), arguments)


def _error_text(failed: Played, *, good: str, declared: Deviations) -> str:
    """The declared pattern, if it tells the message of a tool that raised from that of one that did not."""
    if len(failed.calls) < 2:
        return Deviations().tool_error_text
    told = str(_next_prompt(failed)[-1].get("content"))
    tells = declared.is_tool_error(told, _ERROR) and not declared.is_tool_error(good, _ERROR)
    return declared.tool_error_text if tells else told


async def _hides(player: Player, hidden_call: HiddenCall) -> bool:
    async def run() -> None:
        await hidden_call(player.build())

    return (await player.play(lambda _: Answer("{}"), run)).agreement[1] > 0


def _next_prompt(played: Played, what: str = "") -> Sequence[Message]:
    """The second request's messages."""
    if len(played.calls) < 2:
        raise AssertionError(f"After {what} the model was not asked again.") from played.error
    messages: list[Message] = (played.calls[1].json or {})["messages"]
    return messages
