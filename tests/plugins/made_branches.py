"""Rollouts with token ids: conversations that go on, part, drift and break off, as a recorder keeps them."""

import dataclasses
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import strategies as st

from agentcore_rl.codec import decode_record, encode_record
from agentcore_rl.conversation import TurnGraph
from agentcore_rl.read import Run
from agentcore_rl.recorder.calls import Answer
from agentcore_rl.recorder.token_ids import place_tokens
from agentcore_rl.rollout import Rollout
from agentcore_rl.stores.directory import DirectoryStore
from agentcore_rl.turn import PromptRef, Tokens, Trajectory, Turn
from made_rollouts import make_rollout, make_turn

SYSTEM = {"role": "system", "content": "You are an agent."}


@dataclass
class Session:
    """Model calls of one rollout, kept as core keeps them: prompts placed by messages, ids by ids."""

    graph: TurnGraph = field(default_factory=TurnGraph)
    turns: list[Turn] = field(default_factory=list)
    prompts: list[list[int] | None] = field(default_factory=list)
    parents: dict[str, str | None] = field(default_factory=dict)

    def call(
        self,
        messages: Sequence[dict[str, Any]],
        prompt_ids: Sequence[int] | None,
        answer_ids: Sequence[int] | None,
        logprobs: Sequence[float] | None = None,
        *,
        agent: str = "main",
        answer: dict[str, Any] | None = None,
        caller: str | None = None,
        **fields: Any,
    ) -> int:
        """One answered call; its turn. `answer` None leaves it without a whole answer."""
        self.parents.setdefault(agent, caller)
        placed = self.graph.add([msgspec.json.encode(one) for one in messages], agent=agent)
        index = None
        if answer is not None:
            index = self.graph.answer(placed.turn, msgspec.json.encode(answer))
        heard = Answer(
            prompt_ids=None if prompt_ids is None else array("I", prompt_ids),
            answer_ids=None if answer_ids is None else array("I", answer_ids),
            logprobs=None if logprobs is None else array("d", logprobs),
        )
        behind = () if placed.parent is None else self.graph.path(placed.parent)
        tokens = place_tokens(heard, [self.turns[turn].tokens for turn in behind])
        self.prompts.append(None if prompt_ids is None else list(prompt_ids))
        self.turns.append(
            make_turn(
                placed.turn,
                parent=placed.parent,
                agent=agent,
                prompt=PromptRef(placed.keep, placed.new),
                answer=index,
                tokens=tokens,
                **{"suspect": ["forked"] if placed.forked else [], **fields},
            )
        )
        return placed.turn

    def rollout(self, **fields: Any) -> Rollout:
        """The record; what is suspect is what its turns say."""
        paths: dict[str, list[Turn]] = {}
        for turn in self.turns:
            paths.setdefault(turn.agent, []).append(turn)
        suspect = sorted({reason for turn in self.turns for reason in turn.suspect})
        made = make_rollout(
            0,
            messages=self.graph.messages.raws(),
            trajectories=[Trajectory(agent, self.parents[agent], turns) for agent, turns in paths.items()],
            **{"suspect": suspect, **fields},
        )
        return decode_record(encode_record(made, bucket="", key="k"))

    def whole(self, turn: int) -> list[int]:
        """Ids of a turn's prompt and answer."""
        tokens = self.turns[turn].tokens
        return [*(self.prompts[turn] or ()), *(() if tokens is None else tokens.answer)]


def said(text: str) -> dict[str, Any]:
    """An assistant's message."""
    return {"role": "assistant", "content": text}


def asked(text: str) -> dict[str, Any]:
    """A user's message."""
    return {"role": "user", "content": text}


def talk(turns: int, *, start: int = 10, **fields: Any) -> Rollout:
    """One conversation of so many turns, whose ids are all different."""
    session, messages, ids, at = Session(), [SYSTEM, asked("q0")], [1, 2, 3], start
    for number in range(turns):
        answer = [at, at + 1, at + 2]
        session.call(messages, ids, answer, [-(at + n) / 64 for n in range(3)], answer=said(f"a{number}"))
        messages = [*messages, said(f"a{number}"), asked(f"q{number + 1}")]
        ids = [*ids, *answer, at + 3, at + 4]
        at += 5
    return session.rollout(**fields)


def forked() -> Session:
    """A first turn, two that go on with it, one that was edited, and a sub-agent."""
    session, begin = Session(), [SYSTEM, asked("q")]
    session.call(begin, [1, 2], [3, 4], [-0.25, -0.5], answer=said("a"))
    left = [*begin, said("a"), asked("left")]
    session.call(left, [1, 2, 3, 4, 5], [6], [-0.75], answer=said("l"))
    session.call([*begin, said("a"), asked("right")], [1, 2, 3, 4, 7], [8], [-1.0], answer=said("r"))
    session.call([*left, said("l"), asked("on")], [1, 2, 3, 4, 5, 6, 9], [10], [-1.25], answer=said("o"))
    # The template writes the history anew: same messages, other ids.
    session.call(
        [*left, said("l"), asked("on"), said("o"), asked("more")],
        [1, 2, 33, 44, 5, 6, 9, 10, 11],
        [12],
        [-1.5],
        answer=said("m"),
    )
    session.call(
        [asked("help")], [1, 20], [21, 22], [-2.0, -2.25], agent="helper", caller="main", answer=said("h")
    )
    return session


def stored_run(folder: Any, rollouts: Sequence[Rollout], run: str = "run") -> Run:
    """These rollouts in a directory store, numbered where their ids are the same."""
    store = DirectoryStore(folder)
    for number, rollout in enumerate(rollouts):
        own = rollout
        if own.input_id == "task.0":
            own = dataclasses.replace(own, sample=number, input_id=f"task.{number}", run=run)
        key = f"{run}/{own.input_id}/{own.session}.json"
        store.put_if_absent(key, encode_record(own, bucket="", key=key))
    return Run(store, run)


_IDS = st.integers(0, 5)
_LOGPROBS = st.floats(-20, 0, allow_nan=False)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    """Calls of one or two agents that go on with any earlier turn, or nearly, with any ids missing."""
    session = Session()
    told: dict[str, list[tuple[int, list[dict[str, Any]]]]] = {}
    for number in range(draw(st.integers(0, 6))):
        agent = draw(st.sampled_from(["main", "main", "helper"]))
        earlier = told.setdefault(agent, [])
        messages, ids = (
            [asked(f"begin {draw(st.integers(0, 1))}")],
            draw(st.lists(_IDS, min_size=1, max_size=3)),
        )
        if earlier and draw(st.integers(0, 4)):
            turn, before = draw(st.sampled_from(earlier))
            messages = [*before, asked(f"q{number}")]
            ids = session.whole(turn)
            way = draw(st.sampled_from(["on", "on", "on", "drift", "shorter"]))
            if way == "drift" and ids:
                ids[draw(st.integers(0, len(ids) - 1))] = 9
            elif way == "shorter":
                ids = ids[: draw(st.integers(0, len(ids)))]
            ids = [*ids, *draw(st.lists(_IDS, max_size=2))]
        answer = draw(st.lists(_IDS, max_size=4))
        logprobs = draw(st.none() | st.lists(_LOGPROBS, min_size=len(answer), max_size=len(answer)))
        kind = draw(st.sampled_from(["whole"] * 6 + ["cut", "silent", "no ids", "no prompt ids"]))
        message = said(f"a{number}")
        fields: dict[str, Any] = {"policy_version": draw(st.none() | st.integers(0, 3))}
        if kind == "cut":
            fields |= {"finish_reason": None, "suspect": ["cut_answer"]}
        turn = session.call(
            messages,
            None if kind in ("no ids", "no prompt ids") else ids,
            None if kind == "no ids" else answer,
            None if kind == "no ids" else logprobs,
            agent=agent,
            answer=None if kind == "silent" else message,
            caller=None if agent == "main" else "main",
            **fields,
        )
        if kind != "silent":
            earlier.append((turn, [*messages, message]))
    return session


def without_ids(rollout: Rollout) -> Rollout:
    """The same record from a server that gives no ids."""
    paths = [
        Trajectory(path.agent, path.parent, [dataclasses.replace(turn, tokens=None) for turn in path.turns])
        for path in rollout.trajectories
    ]
    return dataclasses.replace(rollout, trajectories=paths)


def with_logprobs(rollout: Rollout, logprobs: Any) -> Rollout:
    """The same record with other logprobs in its first turn."""
    (path, *others) = rollout.trajectories
    first, *rest = path.turns
    assert first.tokens is not None
    tokens = Tokens(first.tokens.prompt_keep, first.tokens.prompt_new, first.tokens.answer, logprobs)
    turns = [dataclasses.replace(first, tokens=tokens), *rest]
    return dataclasses.replace(rollout, trajectories=[Trajectory(path.agent, path.parent, turns), *others])
