import copy
import itertools
import math
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agentcore_rl.local_model
from agentcore_rl_gateway.history import History
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.rendering.library import FromLibrary
from agentcore_rl_gateway.rendering.template import FromTemplate
from made_vocabulary import FRAMEWORKS, made_vocabulary, message_of, sampled

VOCABULARY = made_vocabulary()
RENDERER = ChatMLHermes(VOCABULARY)
TEMPLATE = (Path(agentcore_rl.local_model.__file__).parent / "chat_template.jinja").read_text()
RENDERERS = {
    "chatml": RENDERER,
    "library": FromLibrary("qwen3", VOCABULARY),
    "template": FromTemplate(TEMPLATE, VOCABULARY),
}
TOOLS = {
    "alphabetical": [
        {"type": "function", "function": {"name": "write", "parameters": {"content": {}, "path": {}}}}
    ],
    "other": [{"type": "function", "function": {"name": "write", "parameters": {"path": {}, "content": {}}}}],
}


class Agent:
    """A conversation as one framework has it, over a history that several share."""

    numbers = itertools.count()

    def __init__(self, history: History, name: str, *, framework: str = "sdk", seed: int = 0) -> None:
        self.history, self.name, self.draw = history, name, random.Random(seed)
        self.resend = FRAMEWORKS[framework]
        self.messages: list[dict[str, Any]] = [
            {"role": "system", "content": f"You are {name}."},
            {"role": "user", "content": "Begin."},
        ]
        self.tools: list[dict[str, Any]] = []
        self.seen: list[tuple[list[int], list[int]]] = []

    def turn(
        self,
        content: str,
        calls: Any = (),
        reasoning: str | None = None,
        *,
        then: str = "Go on.",
        **more: Any,
    ) -> Any:
        """One call, and what the framework makes of it; the plan."""
        plan = self.history.plan(copy.deepcopy(self.messages), self.tools)
        ids = sampled(VOCABULARY, content, calls, reasoning, draw=self.draw)
        turn = len(self.seen)
        minted = [f"call_{self.name}_{turn}_{at}" for at in range(len(calls))]
        response = f"chatcmpl-{self.name}-{turn}"
        logprobs = [-0.5 - at / 100 for at in range(len(ids))]
        self.history.commit(plan, ids, logprobs, "stop", response, minted, turn, **more)
        self.seen.append((plan.prompt_ids, ids))
        self.messages.append(self.resend(message_of(content, calls, reasoning, minted)))
        for one in minted:
            self.messages.append({"role": "tool", "tool_call_id": one, "content": f"done {one}"})
        if not minted:
            self.messages.append({"role": "user", "content": then})
        return plan


def _plain(row: Any) -> Any:
    return list(row.ids), list(row.mask), [None if math.isnan(one) else one for one in row.logprobs]


@pytest.mark.parametrize("order", TOOLS)
@pytest.mark.parametrize("thinking", [False, True], ids=["plain", "thinking"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("renderer", RENDERERS)
def test_ten_turns_are_one_branch(renderer, framework, thinking, order):
    """Whatever a framework leaves out or spells otherwise, a conversation is one row, as sampled."""
    history = History(RENDERERS[renderer])
    agent = Agent(history, "main", framework=framework, seed=7)
    agent.tools = TOOLS[order]
    arguments = '{"content": "é the \\"x\\"", "path": "/a"}'
    if order == "other":
        arguments = '{"path":"/a",  "content" : "\\u00e9 1e3", "n": 1.0}'
    for turn in range(10):
        calls = [("write", arguments)] * (1 + turn % 2) if turn % 3 else []
        agent.turn("Then in the end " if turn % 4 else " ok ", calls, f"thought {turn}" if thinking else None)
    (row,) = history.rows()
    assert not history.forks
    prompt, answer = agent.seen[-1]
    assert list(row.ids) == prompt + answer
    at = 0
    for prompt, answer in agent.seen:
        at = len(prompt)
        assert row.ids[at : at + len(answer)].tolist() == answer
        assert row.mask[at : at + len(answer)].tolist() == [1] * len(answer)
        assert row.logprobs[at : at + len(answer)].tolist() == [-0.5 - n / 100 for n in range(len(answer))]
    assert sum(row.mask) == sum(len(answer) for _, answer in agent.seen) == history.account().trained
    if framework != "sdk" and thinking:
        assert history.restored["reasoning"] == 9
    if framework == "crewai":
        assert history.restored["text_beside_calls"] > 0


def test_sub_agents_are_as_many_branches_as_there_are():
    """Conversations that are mixed in time are kept apart."""
    history = History(RENDERER)
    agents = [Agent(history, name, framework="strands", seed=3) for name in ("a", "b", "c")]
    for turn in range(5):
        for agent in agents:
            agent.turn(f"part {turn}", [("write", "{}")] if turn % 2 else [])
    assert len(history.rows()) == 3
    assert not history.forks


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_order_of_arrival_gives_the_same_rows(data):
    """The rows are those of one conversation after the other, and no sampled token is lost."""
    kinds = data.draw(st.lists(st.sampled_from(sorted(FRAMEWORKS)), min_size=2, max_size=4))
    lengths = [data.draw(st.integers(1, 4)) for _ in kinds]
    order = data.draw(st.permutations([at for at, length in enumerate(lengths) for _ in range(length)]))
    same_start = data.draw(st.booleans())

    def play(calls: list[int]) -> History:
        history = History(RENDERER)
        agents = [
            Agent(history, "one" if same_start else f"n{at}", framework=kind, seed=at)
            for at, kind in enumerate(kinds)
        ]
        for at, agent in enumerate(agents):
            agent.name = f"n{at}"
        done = [0] * len(agents)
        for at in calls:
            # Conversations that begin alike differ in what was answered.
            agents[at].turn(f"answer {at} {done[at]}", [("write", '{"b": 1, "a": 2}')] * (done[at] % 2), "hm")
            done[at] += 1
        return history

    one = play(sorted(order))
    other = play(list(order))
    assert [_plain(row) for row in one.rows()] == [_plain(row) for row in other.rows()]
    assert len(other.rows()) == len(kinds)
    assert other.account().holds
    assert other.account().trained == other.sampled


EDITS = st.sampled_from(["none", "edit", "drop_first", "summary", "retry", "lost", "abort", "hole", "length"])


@settings(max_examples=60, deadline=None)
@given(edits=st.lists(EDITS, min_size=1, max_size=8), seed=st.integers(0, 9))
def test_no_sampled_token_is_ever_lost(edits, seed):
    """Edits, cuts, retries and broken answers: sampled = trained + masked + partial, in the rows too."""
    history = History(RENDERER)
    agent = Agent(history, "main", seed=seed)
    for at, edit in enumerate(edits):
        if edit == "edit" and len(agent.messages) > 3:
            agent.messages[2] = {"role": "assistant", "content": f"I never said that {at}"}
        elif edit == "drop_first" and len(agent.messages) > 4:
            del agent.messages[1:3]
        elif edit == "summary":
            agent.messages[1:] = [{"role": "user", "content": f"Summary {at}"}]
        elif edit == "retry":
            before = list(agent.messages)
            agent.turn(f"first {at}")
            agent.messages = before
        agent.turn(f"said {at}", delivered=edit != "lost")
        if edit in ("abort", "length", "hole"):
            plan = history.plan(agent.messages)
            ids = sampled(VOCABULARY, "cut", end=None)
            values = [None if edit == "hole" and n == 1 else -1.0 for n in range(len(ids))]
            history.commit(plan, ids, values, "abort" if edit == "abort" else "length", f"cut{at}")
    account = history.account()
    assert account.holds
    assert account.sampled == history.sampled
    assert account.trained == sum(sum(row.mask) for row in history.rows())
    for row in history.rows():
        assert len(row.ids) == len(row.mask) == len(row.logprobs)
        assert not any(math.isnan(value) for value, on in zip(row.logprobs, row.mask, strict=True) if on)


def test_a_real_edit_forks_and_says_so():
    """An answer whose text or arguments were changed is not the answer, though it carries its ids."""
    for change in ("content", "arguments"):
        history = History(RENDERER)
        agent = Agent(history, "main")
        agent.turn("one", [("write", '{"a": 1}')])
        if change == "content":
            agent.messages[2]["content"] = "two"
        else:
            agent.messages[2]["tool_calls"][0]["function"]["arguments"] = '{"a": 2}'
        plan = agent.turn("then")
        assert plan.fork == "client_edit"
        assert plan.parent is None
        assert agent.turn("and").fork is None
        assert len(history.rows()) == 2
        assert history.account().holds


def test_changed_thoughts_are_an_edit():
    """Thoughts left out are restored; thoughts that say something else are not ours."""
    history = History(RENDERER)
    agent = Agent(history, "main")
    agent.turn("one", reasoning="because")
    agent.messages[2]["reasoning_content"] = "for no reason"
    assert agent.turn("two").fork == "client_edit"


def test_a_cut_history_is_a_compaction():
    """Known answers behind fewer messages than before: the client made its history shorter."""
    history = History(RENDERER)
    agent = Agent(history, "main")
    for turn in range(3):
        agent.turn(f"answer {turn}")
    del agent.messages[1:3]
    assert agent.turn("after").fork == "compaction"
    assert len(history.rows()) == 2


def test_changed_tools_fork():
    """Tools stand in the prompt: with others, a conversation cannot go on with the same ids."""
    history = History(RENDERER)
    agent = Agent(history, "main")
    agent.turn("one")
    agent.tools = TOOLS["other"]
    assert agent.turn("two").fork == "tools_changed"


def test_an_answer_that_never_came_in_is_a_lost_turn():
    """A prompt was asked, its answer was not kept, and the client goes on with it."""
    history = History(RENDERER)
    agent = Agent(history, "main")
    history.plan(agent.messages)
    agent.messages += [{"role": "assistant", "content": "lost"}, {"role": "user", "content": "And?"}]
    assert agent.turn("here").fork == "lost_turn"


def test_twins_are_never_guessed():
    """Two answers that say the same from other ids: a prompt that names neither goes on with neither."""
    history = History(RENDERER)
    start = [{"role": "user", "content": "Hi"}]
    for at, ids in enumerate(
        [sampled(VOCABULARY, "the"), [*VOCABULARY.encode("t"), *sampled(VOCABULARY, "he")]]
    ):
        history.commit(history.plan(start), ids, [-1.0] * len(ids), "stop", f"r{at}")
    said = {"role": "assistant", "content": "the"}
    more = {"role": "user", "content": "more"}
    unnamed = history.plan([*start, said, more])
    assert (unnamed.parent, unnamed.fork) == (None, "ambiguous")
    named = history.plan([*start, {**said, "id": "r1"}, more])
    assert (named.parent, named.fork) == (1, None)
    known = history.plan([*start, said, more], parent=0)  # as a log knows it
    assert (known.parent, known.fork) == (0, None)
    history.deliver(0, delivered=False)
    got = history.plan([*start, said, more])  # a client repeats what it got
    assert (got.parent, got.fork) == (1, None)


def test_what_the_client_never_got_does_not_train():
    """Unless it goes on with it after all."""
    history = History(RENDERER)
    agent = Agent(history, "main")
    agent.turn("one", delivered=False)
    assert history.rows() == []
    assert dict(history.account().masked) == {"undelivered": history.sampled}
    agent.turn("two")
    assert history.account().trained == history.sampled


def test_logprobs_that_are_not_one_for_each_id_are_refused():
    """They belong to ids, not to positions."""
    history = History(RENDERER)
    with pytest.raises(ValueError, match="align them"):
        history.commit(history.plan([{"role": "user", "content": "x"}]), [1, 2], [-1.0], "stop")


def _size(value: Any, seen: set[int]) -> int:
    if id(value) in seen or value is RENDERER or isinstance(value, type):
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        size += sum(_size(key, seen) + _size(item, seen) for key, item in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        size += sum(_size(item, seen) for item in value)
    for name in getattr(type(value), "__slots__", ()):
        size += _size(getattr(value, name), seen)
    if hasattr(value, "__dict__"):
        size += _size(vars(value), seen)
    return size


def test_fifty_turns_to_32k_tokens_stay_below_a_megabyte():
    """Each turn holds only what it adds, so that memory grows with turns, not with their squares."""
    history = History(RENDERER)
    agent = Agent(history, "main")
    sizes = []
    for _ in range(50):
        agent.turn("x " * 160, then="y " * 160)
        sizes.append(_size(history, set()))
    assert len(agent.seen[-1][0]) > 32_000
    assert sizes[-1] < 1_000_000
    assert sizes[-1] - sizes[24] < 1.3 * (sizes[24] - sizes[0])
