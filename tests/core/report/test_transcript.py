"""One rollout as the page shows it."""

import json

import msgspec
from hypothesis import given, settings

from agentcore_rl.read import tool_calls
from agentcore_rl.report.blocks import TokenColumns
from agentcore_rl.report.transcript import LONGEST_TEXT, page_form
from agentcore_rl.rollout import Failure, FailureKind, PromptRef, Tokens, Trajectory
from made_rollouts import golden_rollout, make_rollout, make_turn, raw, rollouts


def shown(rollout):
    """The page's form of a rollout."""
    text = page_form(rollout, list(tool_calls(rollout)), TokenColumns(), location="here")
    assert b"\x1e" not in text
    return json.loads(text)


def called(*ids):
    """An answer that calls a tool under these ids."""
    calls = [{"id": each, "type": "function", "function": {"name": "t", "arguments": "{}"}} for each in ids]
    return raw({"role": "assistant", "content": None, "tool_calls": calls})


def returned(call, text):
    """A tool's message."""
    return raw({"role": "tool", "tool_call_id": call, "content": text})


def test_a_call_stands_with_its_outcome():
    """The tool's message is beside its call, and the next turn shows only what is new besides."""
    told = shown(golden_rollout())
    first, second, helper = told["turns"]
    [call] = first["calls"]
    assert call["name"] == "calculator"
    assert told["messages"][call["outcome"]]["content"] == "42"
    assert call["execution"]["verdict"] == {"allowed": True}
    assert call["error"] is None
    assert first["new"] == [0, 1]
    assert second["new"] == []
    assert helper["answer"] is None
    assert told["record"] == "here"
    assert told["agents"] == [{"agent": "main", "parent": None}, {"agent": "helper", "parent": "main"}]


def test_outcomes_of_parallel_calls_and_forks():
    """Each call has its own message, in whatever order they came; both turns of a fork leave them out."""
    messages = [
        raw({"role": "user", "content": "q"}),
        called("a", "b"),
        returned("b", "of b"),
        returned("a", "of a"),
        raw({"role": "assistant", "content": "x"}),
        raw({"role": "user", "content": "again"}),
    ]
    fork = [
        make_turn(0, answer=1),
        make_turn(1, parent=0, prompt=PromptRef(1, [1, 2, 3]), answer=4),
        make_turn(2, parent=0, prompt=PromptRef(1, [1, 2, 3, 5]), answer=4),
    ]
    told = shown(make_rollout(messages=messages, trajectories=[Trajectory("main", None, fork)]))
    assert [told["messages"][call["outcome"]]["content"] for call in told["turns"][0]["calls"]] == [
        "of a",
        "of b",
    ]
    assert [turn["new"] for turn in told["turns"]] == [[0], [], [5]]
    assert told["branches"] == [[0, 1], [0, 2]]
    assert [turn["lane"] for turn in told["turns"]] == [0, 0, 1]


def test_a_call_without_an_answer_has_no_outcome():
    """None, and what the framework ran without a call is kept."""
    messages = [raw({"role": "user", "content": "q"}), called("a", "")]
    told = shown(
        make_rollout(messages=messages, trajectories=[Trajectory("main", None, [make_turn(0, answer=1)])])
    )
    assert [call["outcome"] for call in told["turns"][0]["calls"]] == [None, None]


def test_tokens_are_told_apart():
    """Counts in the text, ids and logprobs in their columns; logprobs without a byte stay as they are."""
    columns = TokenColumns()
    turns = [
        make_turn(0, tokens=Tokens(0, [1, 2], [3, 4], [-0.5, -1.0])),
        make_turn(1, tokens=Tokens(4, [5], [6], [-9999.0])),
        make_turn(2, tokens=None),
        make_turn(3, tokens=Tokens(0, None, [7])),
    ]
    rollout = make_rollout(4, trajectories=[Trajectory("main", None, turns)])
    columns.add_ids([9])
    told = json.loads(page_form(rollout, [], columns, location=""))
    assert told["tokens_at"] == [1, 0]
    assert [turn["tokens"] for turn in told["turns"]] == [
        {"keep": 0, "prompt": 2, "answer": 2, "logprobs": True},
        {"keep": 4, "prompt": 1, "answer": 1, "logprobs": [-9999.0]},
        None,
        {"keep": 0, "prompt": None, "answer": 1, "logprobs": None},
    ]
    assert columns.place == (8, 2)


def test_huge_texts_are_clipped():
    """A page carries 256 KiB of a text and says how much more the record has."""
    long = "x" * (LONGEST_TEXT + 1000)
    told = shown(
        make_rollout(
            messages=[raw({"role": "user", "content": long}), raw({"role": "assistant", "content": [long]})],
            output=long,
            payload={"prompt": long},
            failure=Failure(FailureKind.AGENT, long),
        )
    )
    end = "… 1,000 more characters are in the record"
    for text in (
        told["messages"][0]["content"],
        told["messages"][1]["content"][0],
        told["output"],
        told["failure"]["message"],
    ):
        assert text.endswith(end)
    assert len(told["payload"]) < LONGEST_TEXT + 100


@settings(max_examples=10)
@given(rollouts())
def test_any_record_has_a_form(rollout):
    """Every message is there, byte for byte the same value; every turn, and no more."""
    told = shown(rollout)
    assert len(told["turns"]) == sum(len(path.turns) for path in rollout.trajectories)
    assert [msgspec.json.decode(each) for each in rollout.messages] == [
        msgspec.json.decode(msgspec.json.encode(message)) for message in told["messages"]
    ]
