"""Turns placed in a graph: prompts that extend each other, as frameworks spell them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore_rl.conversation import MessageTable, TurnGraph

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
ARGUMENTS = st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=3).map(json.dumps) | TEXTS
CALLS = st.lists(
    st.builds(
        lambda name, arguments, number: {
            "id": f"c{number}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        },
        TEXTS,
        ARGUMENTS,
        st.integers(0, 99),
    ),
    max_size=2,
)
ANSWERS = st.builds(
    lambda content, calls, reasoning: {
        "role": "assistant",
        "content": content if content or calls else "ok",
        **({"tool_calls": calls} if calls else {}),
        **({"reasoning_content": reasoning} if reasoning else {}),
    },
    st.none() | TEXTS,
    CALLS,
    st.none() | TEXTS,
)
NEXT = st.lists(
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "tool"]), TEXTS),
    min_size=1,
    max_size=2,
)
ROUNDS = st.lists(st.tuples(NEXT, ANSWERS), min_size=1, max_size=6)


def raw(message: Any) -> bytes:
    """A message's JSON as an SDK writes it."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def respelled(message: dict[str, Any], choose: Any) -> dict[str, Any]:
    """A message as frameworks send it back: the same to a model, other bytes."""
    new = dict(message)
    content = new.get("content")
    if isinstance(content, str) and choose(st.booleans()):
        cut = choose(st.integers(0, len(content)))
        new["content"] = [{"type": "text", "text": part} for part in (content[:cut], content[cut:])]
    if content is None and choose(st.booleans()):
        new["content"] = choose(st.sampled_from(["", None]))
    elif content is None and choose(st.booleans()):
        new.pop("content", None)
    if choose(st.booleans()):
        new.pop("reasoning_content", None)
    if choose(st.booleans()):
        new["name"] = "somebody"
    if choose(st.booleans()):
        new.setdefault("tool_calls", choose(st.sampled_from([None, []])))
    for call in new.get("tool_calls") or ():
        function = dict(call["function"])
        try:
            value = json.loads(function["arguments"])
        except ValueError:
            continue
        if choose(st.booleans()) and isinstance(value, dict):
            function["arguments"] = json.dumps(value, indent=1, ensure_ascii=choose(st.booleans()))
        call["function"] = function
    return dict(reversed(new.items())) if choose(st.booleans()) else new


@given(rounds=ROUNDS, data=st.data())
def test_a_line_of_prompts_stays_a_line_however_it_is_spelled(rounds: Any, data: Any):
    """Each prompt's parent is the turn before; what expands is exactly what was sent."""
    graph = TurnGraph()
    history: list[dict[str, Any]] = []
    sent: list[list[bytes]] = []
    for turn, (new, answer) in enumerate(rounds):
        history += new
        prompt = [raw(respelled(json.loads(raw(message)), data.draw)) for message in history]
        sent.append(prompt)
        placement = graph.add(prompt)
        assert placement.turn == turn
        assert placement.parent == (turn - 1 if turn else None)
        assert placement.forked is False
        graph.answer(turn, raw(answer))
        history.append(answer)
    for turn, prompt in enumerate(sent):
        assert [graph.messages[index] for index in graph.prompt(turn)] == prompt
        assert list(graph.path(turn)) == list(range(turn + 1))


@given(rounds=ROUNDS)
def test_what_is_sent_again_is_stored_once(rounds: Any):
    """A history that is sent back as it was adds only what is new: linear in turns."""
    graph = TurnGraph()
    history: list[bytes] = []
    for turn, (new, answer) in enumerate(rounds):
        before = len(history) - 1
        history += map(raw, new)
        placement = graph.add(history)
        assert placement.keep == max(before, 0)
        assert len(placement.new) == len(new) + bool(turn)
        graph.answer(turn, raw(answer))
        history.append(raw(answer))
    assert len(graph.messages) == len(set(history))


@given(rounds=ROUNDS, edited=st.integers(0, 20), text=TEXTS)
def test_an_edited_history_forks(rounds: Any, edited: int, text: str):
    """A prompt that changes what was said is no continuation, and says so; it expands all the same."""
    graph = TurnGraph()
    history: list[dict[str, Any]] = []
    for turn, (new, answer) in enumerate(rounds):
        history += new
        graph.add(map(raw, history))
        graph.answer(turn, raw(answer))
        history.append(answer)
    at = edited % len(history)
    changed = [*history[:at], {"role": "user", "content": f"edited {text}"}, *history[at + 1 :]]
    placement = graph.add(map(raw, changed))
    assert placement.parent != len(rounds) - 1
    assert placement.forked is True
    assert [graph.messages[index] for index in graph.prompt(placement.turn)] == list(map(raw, changed))


@given(st.lists(st.tuples(st.sampled_from("ab"), NEXT, ANSWERS), max_size=8))
def test_agents_are_kept_apart(rounds: Any):
    """Two agents whose prompts are the same have a line each."""
    graph = TurnGraph()
    history: dict[str, list[bytes]] = {"a": [], "b": []}
    last: dict[str, int] = {}
    for turn, (agent, new, answer) in enumerate(rounds):
        history[agent] += map(raw, new)
        placement = graph.add(history[agent], agent=agent)
        assert placement.parent == last.get(agent)
        assert placement.forked is False
        graph.answer(turn, raw(answer))
        history[agent].append(raw(answer))
        last[agent] = turn
    for agent, turn in last.items():
        assert [graph.messages[index] for index in graph.prompt(turn)] == history[agent][
            : len(graph.prompt(turn))
        ]


Q = raw({"role": "user", "content": "q"})
A = raw({"role": "assistant", "content": "a"})


def test_a_call_without_an_answer_is_asked_again():
    """A framework that repeats a failed call goes on from the turn before the failure; nothing forks."""
    graph = TurnGraph()
    graph.answer(graph.add([Q]).turn, A)
    failed = graph.add([Q, A, Q])
    again = graph.add([Q, A, Q])
    assert (failed.parent, again.parent) == (0, 0)
    assert not again.forked


def test_the_same_question_again_is_a_second_root():
    """A prompt that ignores the answer that it got starts anew, which is a fork."""
    graph = TurnGraph()
    graph.answer(graph.add([Q]).turn, A)
    again = graph.add([Q])
    assert again.parent is None
    assert again.forked


def _said(role: str, text: str) -> bytes:
    return raw({"role": role, "content": text})


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_conversations_that_were_begun_at_once_do_not_fork(order: list[str]):
    """Three conversations of one agent in one place, in any order: each goes on with its own."""
    graph = TurnGraph()
    lines: dict[str, list[bytes]] = {}
    for turn, name in enumerate(order):
        line = lines.setdefault(name, [])
        line.append(_said("user", f"{name}{len(line)}"))
        assert not graph.add(line, agent="expert", place="@0", conversations=3).forked
        graph.answer(turn, _said("assistant", f"to {line[-1]!r}"))
        line.append(_said("assistant", f"to {line[-1]!r}"))


def test_real_forks_are_told_beside_other_conversations():
    """What was continued already, one beginning too many, and a beginning with an answer in it are forks."""

    def graph() -> TurnGraph:
        made = TurnGraph()
        for prompt in ([Q], [_said("user", "other")], [Q, A, Q]):
            placed = made.add(prompt, place="@0", conversations=2)
            assert not placed.forked
            made.answer(placed.turn, A)
        return made

    for forked in (
        [Q, A, _said("user", "edited")],
        [_said("user", "third")],
        [_said("user", "edited"), A, Q],
    ):
        assert graph().add(forked, place="@0", conversations=2).forked
    assert graph().add([_said("user", "edited"), A, Q], place="@0", conversations=3).forked
    assert not graph().add([_said("user", "third")], place="@0", conversations=3).forked
    assert not graph().add([_said("user", "other"), A, Q], place="@0", conversations=2).forked


def test_a_prompt_may_end_with_the_answer():
    """Asking the model to go on from its own words continues the turn."""
    graph = TurnGraph()
    graph.answer(graph.add([Q]).turn, A)
    assert graph.add([Q, A]).parent == 0


def test_the_longest_path_is_the_parent():
    """Of several turns that a prompt begins with, the one that says most is its parent."""
    graph = TurnGraph()
    graph.answer(graph.add([Q]).turn, A)
    graph.answer(graph.add([Q, A, Q]).turn, A)
    assert graph.add([Q, A, Q, A, Q]).parent == 1


def test_text_beside_tool_calls_may_be_left_out():
    """Some frameworks send the calls alone; other calls, or other text, are an edit still."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = {"role": "assistant", "content": "so", "tool_calls": [call]}
    graph = TurnGraph()
    graph.answer(graph.add([Q]).turn, raw(said))
    shortened = raw({**said, "content": None})
    follows = graph.add([Q, shortened, Q])
    assert (follows.parent, follows.forked, follows.keep) == (0, False, 1)
    assert [graph.messages[index] for index in graph.prompt(follows.turn)] == [Q, shortened, Q]
    assert graph.add([Q, raw(said), Q]).parent == 0
    for edit in ({**said, "content": "no"}, {**said, "content": None, "tool_calls": [{**call, "id": "d"}]}):
        assert graph.add([Q, raw(edit), Q]).forked


def test_an_answer_comes_once():
    """A second answer of a turn is an error of the caller."""
    graph = TurnGraph()
    graph.answer(graph.add([Q]).turn, A)
    with pytest.raises(ValueError, match="has an answer already"):
        graph.answer(0, A)


def test_forms_are_equal_for_equal_messages():
    """The number of a form does not depend on whether the message is stored."""
    graph = TurnGraph()
    placement = graph.add([Q])
    parts = raw({"content": [{"type": "text", "text": "q"}], "role": "user"})
    assert graph.form(parts) == graph.form_of(placement.new[0])
    assert graph.form(A) != graph.form(Q)
    assert graph.answer_of(0) is None
    assert len(graph.messages) == 1


@pytest.mark.parametrize("odd", [b"\xff", b"{", b"[]", b"null", b"[" * 3000, b'{"content": 1e999}'])
def test_messages_of_any_shape_are_placed(odd: bytes):
    """What is no message is compared byte by byte; nothing raises."""
    graph = TurnGraph()
    graph.answer(graph.add([odd]).turn, odd)
    assert graph.add([odd, odd, Q]).parent == 0


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=4)))
def test_a_table_gives_back_what_was_put(values: list[bytes]):
    """Equal bytes have one index, and come back as they were."""
    table = MessageTable()
    indexes = [table.add(value) for value in values]
    assert [table[index] for index in indexes] == values
    assert len(table) == len(set(values))
    assert all(value in table for value in values)
    assert [bytes(stored) for stored in table.raws()] == list(dict.fromkeys(values))
