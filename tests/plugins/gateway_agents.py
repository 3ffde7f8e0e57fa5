"""Real agents on a gateway with a scripted engine: how many branches their conversations make, as a table."""

import asyncio
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentcore_rl.adapter import ADAPTERS
from agentcore_rl.tools import Tool
from gateway_desk import Desk
from gateway_fidelity import Bench, EngineLog, bench, wrong_in_rows
from made_vocabulary import made_vocabulary, sampled

TURNS = 10
VOCABULARY = made_vocabulary()
ORDERS = {
    "alphabetical": '{{"content": "é {0}\\n\\"q\\"",  "path":"/a{0}"}}',
    "other": '{{"path":"/a{0}", "content": "é {0}\\n\\"q\\""}}',
}
"""Arguments as the model spells them: by the order of their keys."""


def _write(path: str, content: str) -> str:
    """Write a file."""
    return f"wrote {content!r} to {path} <|im_end|>"


TEXT = {"type": "string", "description": "A text."}
WRITE = Tool(
    "write",
    "Write a file.",
    {"type": "object", "properties": {"path": TEXT, "content": TEXT}, "required": ["path", "content"]},
    _write,
)


def asking(function: Callable[..., Any]) -> Tool:
    """The tool by which an agent asks another."""
    schema = {"type": "object", "properties": {"text": TEXT}, "required": ["text"]}
    return Tool("ask", "Ask an expert.", schema, function)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to play.

    Attributes:
        framework: name of its adapter.
        thinks: every answer begins with a thought, which no framework sends back.
        order: of the keys of arguments.
        stream: the agent's model streams.
    """

    framework: str
    thinks: bool = True
    order: str = "other"
    stream: bool = False

    @property
    def name(self) -> str:
        """As a session's id."""
        kind = "stream" if self.stream else "whole"
        return f"{self.framework}-{'thinking' if self.thinks else 'plain'}-{self.order}-{kind}"

    def answer(self, content: str, calls: Sequence[tuple[str, str]], seed: str) -> list[int]:
        """The ids of an answer, split as no tokenizer would."""
        thought = f"so, {seed} ..." if self.thinks else None
        return sampled(VOCABULARY, content, calls, thought, draw=random.Random(seed))

    def writer(self, prompt: list[int]) -> list[int]:
        """Nine turns of calls, one or two at once, with text beside some; then an answer."""
        turn = _turn_of(prompt)
        if turn == TURNS - 1:
            return self.answer("  It is done.\n", [], f"{turn}")
        calls = [("write", ORDERS[self.order].format(f"{turn}.{at}")) for at in range(1 + (turn % 3 == 1))]
        return self.answer(" let me see\n" if turn % 2 else "", calls, f"{turn}")

    def asker(self, prompt: list[int]) -> list[int]:
        """An agent that asks two experts at once and a third behind them; these write a file each."""
        turn, text = _turn_of(prompt), _text(prompt)
        if "You are main." not in text:
            call = [("write", ORDERS[self.order].format(f"e{turn}"))]
            seed = f"expert {zlib.crc32(text.encode())}"
            return self.answer("Written." if turn else "", [] if turn else call, seed)
        asked = [
            [("ask", '{"text": "one?"}'), ("ask", '{"text": "two?"}')],
            [("ask", '{"text": "three?"}')],
            [],
        ]
        return self.answer("and so" if turn else "", asked[turn], f"main {turn}")


def _text(prompt: list[int]) -> str:
    return str(VOCABULARY.tokenizer.decode(prompt, skip_special_tokens=False))


def _turn_of(prompt: list[int]) -> int:
    return _text(prompt).count("<|im_start|>assistant") - 1


def agent(way: Way, tools: Sequence[Tool], instructions: str, name: str = "main") -> Any:
    """A real agent of the framework, made as its users make it."""
    adapter = ADAPTERS[way.framework]
    model = adapter.create_openai_compatible_model()
    return adapter.build_agent(model, list(tools), instructions, collector=adapter.collector(), name=name)


def play_writer(desk: Desk, log: EngineLog, way: Way) -> Bench:
    """One agent through ten turns."""
    made = agent(way, [WRITE], "You are main.")  # outside of any loop: it imports a framework
    with bench(desk, log, way.name, stream=way.stream) as done:
        said = asyncio.run(ADAPTERS[way.framework].run_agent(made, "Begin 日本 🙂."))
        assert "It is done." in said, said
        done.close()
    return done


def play_asker(desk: Desk, log: EngineLog, way: Way) -> Bench:
    """An agent that asks three others."""
    adapter = ADAPTERS[way.framework]

    async def ask(text: str) -> str:
        expert = agent(way, [WRITE], "You are an expert.", "expert")
        return str(await adapter.run_agent(expert, text))

    made = agent(way, [asking(ask)], "You are main.")
    with bench(desk, log, f"asks-{way.name}", stream=way.stream) as done:
        said = asyncio.run(adapter.run_agent(made, "Begin."))
        assert "and so" in said, said
        done.close()
    return done


# ---- the table


ROWS: list[list[str]] = []
HEAD = [
    *("framework", "agents", "thoughts", "keys", "answers", "turns", "sampled"),
    *("wrong tokens", "branches", "wanted", "restored"),
]


def judge(way: Way, done: Bench, agents: int) -> None:
    """Add to the table; fail where there are not as many branches as agents, or a token is wrong or lost."""
    _add(way, way.framework, done.log, done.wrong(), len(done.rows()), agents, done.restored())
    account = done.account()
    assert done.forks() == {}
    assert account.holds
    assert account.sampled == account.trained == done.log.sampled == done.told()["kept"]
    # Two sub-agents of one name that one turn calls at once look like one that was edited.
    known = {"forked"} if agents > 1 else set()
    assert {why for turn in done.turns() for why in turn.stored.suspect} <= known


def judge_sdk(way: Way, desk: Desk, log: EngineLog, version: str) -> None:
    """The same of a client that makes no record."""
    session = desk.server.calls.sessions.find("r1")
    assert session is not None
    history = session.memory.history
    rows = history.rows()
    _add(way, f"openai {version}", log, wrong_in_rows(log.answers, rows), len(rows), 1, history.restored)
    assert dict(history.forks) == {}
    assert history.account().trained == log.sampled


def _add(
    way: Way, name: str, log: EngineLog, wrong: int, rows: int, wanted: int, restored: Mapping[str, int]
) -> None:
    told = [name, str(wanted), "yes" if way.thinks else "no", way.order]
    told += ["streamed" if way.stream else "whole", str(len(log.answers)), str(log.sampled)]
    told += [str(wrong), str(rows), str(wanted)]
    told += [", ".join(f"{kind} {count}" for kind, count in restored.items())]
    ROWS.append(told)
    assert (wrong, rows) == (0, wanted)


def table() -> list[str]:
    """All that was played."""
    widths = [max(len(row[at]) for row in [HEAD, *ROWS]) for at in range(len(HEAD))]
    lines = [HEAD, *sorted(ROWS)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in lines]
