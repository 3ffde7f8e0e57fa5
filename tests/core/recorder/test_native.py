"""Calls that only callbacks saw, and arguments that no framework can send back."""

from __future__ import annotations

import msgspec

from agentcore_rl.conversation import TurnGraph
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.calls import Answer, prepare
from agentcore_rl.recorder.recorder import Native, Recorder
from agentcore_rl.rollout import Turns, Usage

USER = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "hello"}


def test_a_call_that_was_never_on_the_wire_is_recorded_as_the_callbacks_have_it() -> None:
    """Prompt, tools, answer and usage; the turn says where it comes from."""
    recorder = Recorder()
    tool = {"type": "function", "function": {"name": "f"}}
    recorder.callback_started(
        "a", agent="main", prompt=lambda: Native([USER], [tool], "hosted", {"top_p": 1})
    )
    recorder.callback_ended("a", answer=SAID, finish_reason="stop", usage=Usage(3, 2))
    recorder.callback_started("b", agent="main", prompt=lambda: Native([USER, SAID, USER]))
    recorder.callback_ended("b", answer=None)
    recorder.close("done")
    recording = recorder.finish()
    first, second = Turns(recording.transcript)
    assert first.messages == [USER, SAID]
    assert first.tools == [tool]
    assert (first.stored.source, first.stored.model, first.stored.usage) == (
        "callbacks",
        "hosted",
        Usage(3, 2),
    )
    assert second.stored.parent == 0
    assert second.stored.suspect == ["no_answer"]
    assert recording.crosscheck.callback_only == 2
    assert "callback_only" in recording.suspect


def test_the_prompt_is_not_asked_for_when_the_call_was_on_the_wire() -> None:
    """The wire is the truth; converting what the framework has would be for nothing."""
    asked: list[int] = []
    recorder = Recorder()
    recorder.callback_started("a", agent="main", prompt=lambda: asked.append(1) or Native([]))  # type: ignore[func-returns-value]
    ask = prepare(msgspec.json.encode({"messages": [USER]}), Endpoint("http://x/v1"))
    assert ask is not None
    call = recorder.begin(ask, labels={}, inferred=False)
    recorder.end(call, Answer(message=msgspec.json.encode(SAID), complete=True))
    recorder.callback_ended("a", answer=SAID)
    assert not asked
    assert recorder.finish().crosscheck.matched == 1


def test_a_native_call_without_openai_form_is_a_remark() -> None:
    """It cannot be recorded, and the rollout says so."""

    def unknown() -> Native:
        raise TypeError("no such block")

    recorder = Recorder()
    recorder.callback_started("a", agent="main", prompt=unknown)
    recorder.callback_ended("a", answer=SAID)
    assert set(recorder.finish().suspect) == {"unreadable_callback", "callback_only"}


def _answer(arguments: str) -> bytes:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return msgspec.json.encode({"role": "assistant", "content": None, "tool_calls": [call]})


def test_what_stands_in_for_broken_arguments_is_no_edit() -> None:
    """The turn goes on; other calls, and arguments that were JSON, must come back as they were."""
    user = msgspec.json.encode(USER)
    for sampled, echoed, forked in [
        ('{"a": 1,', "{}", False),
        ('{"a": 1,', '{"a": 1}', False),
        ("", "{}", False),
        ('{"a": 1}', '{"a":1}', False),
        ('{"a": 1}', "{}", True),
    ]:
        graph = TurnGraph()
        graph.answer(graph.add([user]).turn, _answer(sampled))
        placement = graph.add([user, _answer(echoed), user])
        assert placement.forked is forked, (sampled, echoed)
        assert (placement.parent == 0) is not forked
