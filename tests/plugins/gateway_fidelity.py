"""Fidelity: an engine's own log of prompt and sampled ids, what is compared with it, and a table at the end.

Nothing here asks the gateway whether it was right: a count of wrong tokens is made from the engine's log.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.recorder.recorder import Recorder, Recording
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import ExpandedTurn
from agentcore_rl_gateway.history import Row
from gateway_desk import Desk
from gateway_doubles import EngineServer, Sampled
from made_vocabulary import FRAMEWORKS, message_of
from recording import ended, sync_sdk, turns_of

SCALE = int(os.environ.get("FIDELITY") or 1)
"""How many times the calls of F1 and the kills of F13: 10 in `just fidelity`, 50 for 10,000 and 100."""
Ids = list[int]
TOOL = {
    "type": "function",
    "function": {
        "name": "write",
        "parameters": {"type": "object", "properties": {"path": {}, "content": {}}},
    },
}


# ---- what the engine saw and sampled


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of the engine: the ids of its prompt, and what it sampled."""

    prompt: Ids
    ids: Ids
    logprobs: list[float | None]


class EngineLog:
    """Samples as a test says, and notes every prompt and answer: the only truth that a count is made from.

    Args:
        say: the ids behind a prompt and the finish reason; without a reason, "stop".
        score: the logprobs of ids behind a prompt; without it every one is another, so that one which slips
            by a position is seen.
    """

    def __init__(
        self,
        say: Callable[[Ids], Ids | tuple[Ids, str]],
        score: Callable[[Ids, Ids], list[float]] | None = None,
    ) -> None:
        self.answers: list[Answered] = []
        self._say, self._score, self._lock = say, score, threading.Lock()

    def __call__(self, prompt: Ids) -> Sampled:
        with self._lock:
            said = self._say(prompt)
            ids, reason = said if isinstance(said, tuple) else (said, "stop")
            values: list[float | None] = [-(1 + self.sampled + at) / 65_536 for at in range(len(ids))]
            if self._score is not None:
                values = [*self._score(prompt, ids)]
            self.answers.append(Answered(list(prompt), list(ids), values))
            return list(ids), list(values), reason

    @property
    def sampled(self) -> int:
        """Ids that it sampled."""
        return sum(len(answer.ids) for answer in self.answers)


def in_turn(answers: Iterable[Ids | tuple[Ids, str]]) -> EngineLog:
    """An engine that says these, one after the other, whatever it is asked."""
    left = iter(answers)
    return EngineLog(lambda _: next(left))


# ---- wrong tokens


def differing(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Positions at which two lists differ; what one of them lacks counts."""
    same = sum(x == y for x, y in zip(one, other, strict=False))
    return max(len(one), len(other)) - same


def wrong_in_turns(log: Sequence[Answered], turns: Iterable[tuple[Any, Any, Any]]) -> int:
    """Ids and logprobs of (prompt, answer, logprobs) that are not those of the engine's log.

    Calls that ran at once have no order that both know: answers are paired by their ids.
    """
    told = sorted((list(a.prompt), list(a.ids), a.logprobs) for a in log)
    kept = sorted((list(p or ()), list(a or ()), list(values or ())) for p, a, values in turns)
    wrong = sum(
        differing(x[0], y[0]) + max(differing(x[1], y[1]), differing(x[2], y[2]))
        for x, y in zip(told, kept, strict=False)
    )
    return wrong + sum(len(p) + len(a) for p, a, _ in told[len(kept) :] + kept[len(told) :])


def wrong_in_rows(log: Sequence[Answered], rows: Sequence[Row]) -> int:
    """Ids of rows that the engine did not see or sample, and sampled ids that do not train exactly once.

    A row is whole where it is the prompt and the answer of one call, and has the answers of those before it
    at their places, with the engine's logprobs, and mask 1 where it gave one.
    """
    trained = [0] * len(log)
    wrong = 0
    for row in rows:
        ids, lit = list(row.ids), set()
        behind = 0
        for at, answer in enumerate(log):
            first, end = len(answer.prompt), len(answer.prompt) + len(answer.ids)
            if ids[:end] != answer.prompt + answer.ids:
                continue
            behind = max(behind, end)
            if not any(row.mask[first:end]):
                continue
            trained[at] += 1
            told = [place for place, value in enumerate(answer.logprobs, first) if value is not None]
            lit.update(told)
            wrong += sum(row.logprobs[place] != answer.logprobs[place - first] for place in told)
        wrong += len(ids) - behind
        wrong += len({at for at, on in enumerate(row.mask) if on} ^ lit)
    # An answer without any logprob must not train.
    owed = [int(any(value is not None for value in answer.logprobs)) for answer in log]
    return wrong + sum(len(a.ids) * abs(due - had) for a, due, had in zip(log, owed, trained, strict=True))


def branches(log: Sequence[Answered]) -> int:
    """How many answers no later prompt goes on with: the rows that there must be."""
    return sum(
        not any(other.prompt[: len(a.prompt) + len(a.ids)] == a.prompt + a.ids for other in log) for a in log
    )


# ---- conversations through a gateway


@dataclass
class Bench:
    """One session of a gateway under core's recorder, with the engine's log beside it."""

    desk: Desk
    log: EngineLog
    recorder: Recorder
    session: str
    recording: Recording | None = None

    def rows(self) -> list[Row]:
        """The session's training rows."""
        return list(self._history().rows())

    def forks(self) -> dict[str, int]:
        """Why prompts went on with nothing, counted."""
        return dict(self._history().forks)

    def restored(self) -> dict[str, int]:
        """What messages lacked and ids have, counted."""
        return dict(self._history().restored)

    def close(self) -> None:
        """The rollout is over: its record is made."""
        self.turns()

    def account(self) -> Any:
        """Where the history says that each token went."""
        return self._history().account()

    def told(self) -> dict[str, Any]:
        """What the control route says of the session's tokens."""
        return dict(self.desk.control("GET", f"/sessions/{self.session}")["tokens"])

    def turns(self) -> list[ExpandedTurn]:
        """The record's answered turns."""
        if self.recording is None:
            self.recording = ended(self.recorder)
        return [turn for turn in turns_of(self.recording) if turn.stored.answer is not None]

    def wrong(self, *, rows: bool = True) -> int:
        """Wrong tokens in the record, and in the rows unless these are not all to train."""
        answers = self.log.answers
        found = wrong_in_turns(
            answers,
            [(turn.prompt_ids, turn.answer_ids, turn.stored.tokens.logprobs) for turn in self.turns()],
        )
        return found + (wrong_in_rows(answers, self.rows()) if rows else 0)

    def _history(self) -> Any:
        session = self.desk.server.calls.sessions.find(self.session)
        assert session is not None
        return session.memory.history


@contextmanager
def bench(
    desk: Desk, log: EngineLog, session: str = "r1", *, stream: bool = False, **options: Any
) -> Iterator[Bench]:
    """A session of a gateway whose engine keeps this log; answers from before are not its own."""
    log.answers.clear()
    endpoint = Endpoint(desk.server.base_url, model="m", api_key=Secret(desk.open(session, **options)))
    recorder = Recorder()
    with rollout_scope(Scope(endpoint, recorder, stream=stream, retries=0)):
        yield Bench(desk, log, recorder, session)


class Talk:
    """A conversation as one framework has it, through the SDK on our transport."""

    def __init__(
        self, *, framework: str = "sdk", tools: Sequence[Any] = (), system: str = "You are an agent."
    ) -> None:
        self.resend, self.tools = FRAMEWORKS[framework], list(tools)
        self.messages: list[dict[str, Any]] = [
            {"role": "system", "content": system},
            {"role": "user", "content": "Begin 日本 🙂."},
        ]
        self.client = sync_sdk(timeout_s=30.0)

    def turn(self, then: str = "Go on.", **fields: Any) -> Any:
        """One call, and what the framework makes of it; the answer's message."""
        offered = {"tools": self.tools} if self.tools else {}
        asked = self.client.chat.completions.create(
            model="policy", messages=self.messages, **offered, **fields
        )
        said = asked.choices[0].message
        calls = [(call.function.name, call.function.arguments, call.id) for call in said.tool_calls or ()]
        self.hear(said.content or "", calls, getattr(said, "reasoning_content", None), then=then)
        return said

    def hear(
        self,
        content: str,
        calls: Sequence[tuple[str, str, str]],
        thought: str | None = None,
        *,
        then: str = "Go on.",
    ) -> None:
        """What the framework makes of an answer with these calls (name, arguments, id)."""
        names = [name for _, _, name in calls]
        plain = [(name, arguments) for name, arguments, _ in calls]
        self.messages.append(self.resend(message_of(content, plain, thought, names)))
        for name in names:
            self.messages.append({"role": "tool", "tool_call_id": name, "content": f"done {name[-3:]}"})
        if not names:
            self.messages.append({"role": "user", "content": then})


# ---- servers that cut their streams anywhere


def generate(sample: Callable[[Ids], Sampled], draw: random.Random) -> EngineServer:
    """VLLM's route; a stream's chunks hold any count of ids, its bytes come in pieces of 1, 7 or 4096."""

    def chunk(ids: Ids, values: Sequence[float | None], reason: str | None) -> dict[str, Any]:
        content = [
            {"token": f"token_id:{one}", "logprob": value} for one, value in zip(ids, values, strict=True)
        ]
        choice = {"index": 0, "logprobs": {"content": content}, "finish_reason": reason, "token_ids": ids}
        return {"request_id": "g", "choices": [choice]}

    def stream(ids: Ids, values: Sequence[float | None], reason: str) -> Iterator[bytes]:
        cuts = sorted({0, len(ids), *(draw.randrange(len(ids) + 1) for _ in range(2))})
        parts = [chunk(ids[a:b], values[a:b], reason if b == len(ids) else None) for a, b in pairwise(cuts)]
        whole = b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts)
        whole += b"data: [DONE]\n\n"
        size = draw.choice([7, 4096, 4096, 4096, 1] if len(whole) < 1500 else [7, 4096, 4096])
        return (whole[at : at + size] for at in range(0, len(whole), size))

    def answer(path: str, body: dict[str, Any]) -> Any:
        ids, values, reason = sample(body["token_ids"])
        if body["stream"]:
            return 200, {"content-type": "text/event-stream"}, stream(ids, values, reason)
        return 200, {"content-type": "application/json"}, json.dumps(chunk(ids, values, reason)).encode()

    return EngineServer(answer)


# ---- the table


@dataclass
class Line:
    """A line of the table."""

    what: str
    calls: int = 0
    sampled: int = 0
    wrong: int = 0
    rows: int = 0
    wanted: int = 0
    notes: list[str] = field(default_factory=list)


LINES: dict[str, Line] = {}
TESTS: Mapping[str, str] = {
    "F1": "random calls, streams cut anywhere",
    "F2": "a tokenizer that drifts",
    "F3": "families, thoughts, tools, frameworks",
    "F4": "spellings of arguments",
    "F5": "clients that edit",
    "F6": "conservation",
    "F7": "logprobs computed anew",
    "F8": "ends of answers",
    "F9": "sub-agents and parallel calls",
    "F10": "retries, repetitions, lost clients",
    "F11": "logprobs that are missing or wrong",
    "F12": "written and read back",
    "F13": "kill -9",
    "F14": "engines",
    "SmolLM2": "random conversations on llama.cpp",
}


def count(
    test: str, *, calls: int, sampled: int, wrong: int, rows: int = 0, wanted: int = 0, note: str = ""
) -> None:
    """Add to a line of the table, and fail where a token is wrong or a row too many or too few."""
    line = LINES.setdefault(test, Line(TESTS[test]))
    line.calls, line.sampled, line.wrong = line.calls + calls, line.sampled + sampled, line.wrong + wrong
    line.rows, line.wanted = line.rows + rows, line.wanted + wanted
    if note and note not in line.notes:
        line.notes.append(note)
    assert (wrong, rows) == (0, wanted), f"{test}: {wrong} wrong tokens, {rows} rows of {wanted}"


def count_bench(test: str, done: Bench, wanted: int, *, all_train: bool = True, note: str = "") -> None:
    """Add a session."""
    count(
        test,
        calls=len(done.log.answers),
        sampled=done.log.sampled,
        wrong=done.wrong(rows=all_train),
        rows=len(done.rows()),
        wanted=wanted,
        note=note,
    )


def table() -> list[str]:
    """All lines; tests that were not run have none."""
    head = ["", "test", "calls", "sampled", "wrong tokens", "rows", "rows wanted", "notes"]
    order = [name for name in TESTS if name in LINES]
    body = [
        [
            *(name, line.what),
            *map(str, (line.calls, line.sampled, line.wrong, line.rows, line.wanted)),
            "; ".join(line.notes),
        ]
        for name in order
        for line in [LINES[name]]
    ]
    widths = [max(len(row[at]) for row in [head, *body]) for at in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if at in (0, 1, 7) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *body]
    ]
