"""Records expand to what was said: prompts, tools and token ids from their compact form."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.rollout import (
    FailureKind,
    PromptRef,
    RolloutRequest,
    Status,
    StopReason,
    Tokens,
    Trajectory,
    Transcript,
    Turns,
)
from made_rollouts import make_rollout, make_turn


def transcript(*turns: Any, messages: int = 0, tools: tuple[bytes, ...] = ()) -> Transcript:
    """A transcript with numbered messages."""
    table = [msgspec.Raw(b'{"role":"user","content":"%d"}' % number) for number in range(messages)]
    return Transcript(table, [msgspec.Raw(raw) for raw in tools], [Trajectory("main", None, list(turns))])


def contents(turn: Any) -> list[int]:
    """Numbers of the messages of a prompt."""
    return [int(message["content"]) for message in turn.prompt]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 9), max_size=3), st.booleans()), max_size=8)
)
def test_prompts_expand_from_their_parents(steps: list[tuple[int, list[int], bool]]):
    """Whatever a turn keeps of its parent and adds, its prompt is both; a root keeps nothing."""
    turns, prompts = [], []
    for number, (keep, new, root) in enumerate(steps):
        parent = None if root or not number else number - 1
        kept = prompts[parent][:keep] if parent is not None else []
        prompts.append([*kept, *new])
        turns.append(make_turn(number, parent=parent, prompt=PromptRef(len(kept), new), answer=None))
    expanded = Turns(transcript(*turns, messages=10))
    assert [contents(turn) for turn in expanded] == prompts
    assert [turn.messages for turn in expanded] == [turn.prompt for turn in expanded]


def test_a_turn_expands_to_openais_form():
    """Messages with the answer behind them, tools as sent; what is not there is left out."""
    tools = msgspec.json.encode([{"type": "function", "function": {"name": "f"}}])
    turns = Turns(
        transcript(
            make_turn(0, prompt=PromptRef(0, [0]), answer=1, tools=0),
            make_turn(1, parent=0, prompt=PromptRef(1, [1, 2]), answer=None),
            messages=3,
            tools=(tools,),
        )
    )
    first, second = turns
    assert first.answer == {"role": "user", "content": "1"}
    assert first.tools == [{"type": "function", "function": {"name": "f"}}]
    assert first.to_dict() == {
        "turn_id": 0,
        "agent": "main",
        "formatted_request": {"messages": [*first.prompt, first.answer], "tools": first.tools},
    }
    assert second.tools == []
    assert "tools" not in second.to_dict()["formatted_request"]
    assert contents(second) == [0, 1, 2]
    assert (second.prompt_ids, second.answer_ids) == (None, None)


def test_turns_of_several_trajectories_stand_in_order():
    """By the order in which their calls began; slices are lists."""
    mixed = Transcript(
        [msgspec.Raw(b'{"content":"0"}')],
        [],
        [
            Trajectory("a", None, [make_turn(0), make_turn(2, parent=None)]),
            Trajectory("b", "a", [make_turn(1, parent=None)]),
        ],
    )
    turns = Turns(mixed)
    assert [turn.stored.id for turn in turns] == [0, 1, 2]
    assert [turn.stored.id for turn in turns[1:]] == [1, 2]
    assert turns[-1].stored.id == 2
    assert len(turns) == 3
    with pytest.raises(IndexError):
        turns[3]


def test_token_ids_expand_from_their_parents():
    """A prompt's ids are what it keeps of its parent's prompt and answer, and what it adds."""
    turns = Turns(
        transcript(
            make_turn(0, tokens=Tokens(0, [1, 2], [3], [-0.5])),
            make_turn(1, parent=0, tokens=Tokens(3, [4], [5])),
            make_turn(2, parent=1, tokens=Tokens(2, [], [])),
            make_turn(3, parent=2, tokens=Tokens(0, None, [7])),
            make_turn(4, parent=3, tokens=Tokens(0, [8], [])),
        )
    )
    assert [turn.prompt_ids for turn in turns] == [[1, 2], [1, 2, 3, 4], [1, 2], None, [8]]
    assert [turn.answer_ids for turn in turns] == [[3], [5], [], [7], []]


def test_a_record_has_its_turns():
    """The rollout itself expands them."""
    rollout = make_rollout(turns=3)
    assert len(rollout.turns) == 3
    assert len(rollout.turns[2].messages) >= 2


def test_words_are_the_glossarys():
    """Values that stand in records do not change by accident."""
    assert [str(value) for value in Status] == ["queued", "running", "succeeded", "failed"]
    assert [str(value) for value in StopReason] == [
        "finished",
        "turn limit",
        "token limit",
        "time limit",
        "stopped",
    ]
    assert {str(kind) for kind in FailureKind if kind.infrastructure} == {"runtime", "sink", "environment"}


def test_a_requests_key_is_where_its_record_goes():
    """Prefix, run, task and sample, session."""
    request = RolloutRequest("run", "task", 1, "session", "task.1", None)
    assert request.key == "run/task.1/session.json"
