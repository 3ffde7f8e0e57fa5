"""What the gateway costs, recording on, beside a TCP relay and the gateways of others.

All stand in front of the same upstream, a process that answers at once as vLLM does: ids of the prompt,
128 sampled ids and their logprobs. CPU is that of the gateway's process alone, user and system, per call.
Capture: the upstream renders; prompts have about four characters per token and grow by a turn per call. The
peers are rllm-model-gateway 0.1.0 (both stores) and LiteLLM's proxy 1.106.2, which records nothing. Token-in:
the gateway renders, in a conversation that sends back what was answered; the peer is the gateway of
agentcore-rl-toolkit 0.2.0, and beside both stands what an engine pays that tokenises each prompt anew.

A machine is never quiet: all are up at once and take turns in short rounds. CPU per call is that of all
rounds over their calls; beside it stands the least of the rounds, in which what a gateway does now and then
(collects its garbage, say) may be missing. Added p50 and p99 are those over the relay's of the same round,
the middle of all rounds.

    python benchmarks/gateway.py [--rounds N] [--only NAME ...]

Each peer is installed into an environment of its own (--folder), which takes minutes and needs uv; one that
cannot be is said.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway_size import kept
from gateway_subjects import HERE, Running, Subject, free_port, installed, running, started, subjects

LENGTHS = (1_000, 10_000, 32_000, 100_000)
BARS_MS = (1.0, 1.5, 3.0, 9.0)
ROUND_S = 0.5
FEWEST = 5
"""Calls of a round at least."""
AT_ONCE = 64
TURNS = 20
TEXT = "word and " * 57  # 128 tokens of four characters


@dataclass
class Figures:
    """Of one subject, by length and round: CPU ms and calls, p50 and p99 ms.

    By round alone: calls/s of calls at once, and their CPU ms per call.
    """

    cpu: list[list[float]] = field(default_factory=lambda: [[] for _ in LENGTHS])
    calls: list[list[int]] = field(default_factory=lambda: [[] for _ in LENGTHS])
    p50: list[list[float]] = field(default_factory=lambda: [[] for _ in LENGTHS])
    p99: list[list[float]] = field(default_factory=lambda: [[] for _ in LENGTHS])
    rate: list[float] = field(default_factory=list)
    cpu_at_once: list[float] = field(default_factory=list)

    def add(self, at: int, cpu: float, times: Sequence[float]) -> None:
        """One round at one length; `cpu` is that of all its calls."""
        self.cpu[at].append(cpu)
        self.calls[at].append(len(times))
        self.p50[at].append(statistics.median(times))
        self.p99[at].append(sorted(times)[int(len(times) * 0.99)])

    def per_call(self) -> list[float]:
        """CPU ms per call, by length."""
        return [sum(cpu) / sum(calls) for cpu, calls in zip(self.cpu, self.calls, strict=True)]

    def least(self) -> list[float]:
        """The same in the round with the least."""
        rounds = zip(self.cpu, self.calls, strict=True)
        return [min(one / calls for one, calls in zip(*each, strict=True)) for each in rounds]


def body(tokens: int, number: int) -> bytes:
    """A request of about so many prompt tokens: of twenty, each goes on with the one before."""
    turns = max(1, tokens // 128 - 9 + number)
    messages = [
        {"role": "assistant" if at % 2 else "user", "content": f"{at:04d} {TEXT}"} for at in range(turns)
    ]
    return json.dumps({"model": "m", "messages": messages, "temperature": 1.0}).encode()


async def captured(all_of_them: dict[str, Running], rounds: int) -> dict[str, Figures]:
    """The upstream renders."""
    figures = {name: Figures() for name in all_of_them}
    for at, length in enumerate(LENGTHS):
        contents = [body(length, number) for number in range(20)]
        for one in all_of_them.values():
            for content in contents[:3]:
                await one.call(content)
        for _ in range(rounds):
            for name, one in all_of_them.items():
                times: list[float] = []
                end, before = time.monotonic() + ROUND_S, one.cpu_ms()
                while time.monotonic() < end or len(times) < FEWEST:
                    times.append((await one.call(contents[len(times) % 20]))[1])
                figures[name].add(at, one.cpu_ms() - before, times)
    for _ in range(rounds):
        for name, one in all_of_them.items():
            rate, cpu = await _at_once(one)
            figures[name].rate.append(rate)
            figures[name].cpu_at_once.append(cpu)
    return figures


async def _at_once(one: Running) -> tuple[float, float]:
    """Of clients that call at once, at the least length: calls per second, and CPU ms per call."""
    content = body(LENGTHS[0], 9)
    began, before = time.monotonic(), one.cpu_ms()
    done = 0

    async def loop() -> None:
        nonlocal done
        while time.monotonic() < began + 2 * ROUND_S:
            await one.call(content)
            done += 1

    await asyncio.gather(*(loop() for _ in range(AT_ONCE)))
    return done / (time.monotonic() - began), (one.cpu_ms() - before) / done


async def conversed(all_of_them: dict[str, Running], rounds: int) -> dict[str, Figures]:
    """The gateway renders, and the client sends back what was answered."""
    figures = {name: Figures() for name in all_of_them}
    for at, length in enumerate(LENGTHS):
        for number in range(max(1, rounds // 2)):
            first: list[Any] = [{"role": "user", "content": f"{length} {number} " + TEXT * (length // 128)}]
            talks = {name: list(first) for name in all_of_them}
            times: dict[str, list[float]] = {name: [] for name in all_of_them}
            cpu = dict.fromkeys(all_of_them, 0.0)
            for turn in range(TURNS + 1):
                for name, one in all_of_them.items():
                    content = _prompt(one.subject, talks[name], length + 256 * turn)
                    before = one.cpu_ms()
                    said, ms = await one.call(content)
                    if turn:  # the first prompt is tokenised whole by everybody
                        times[name].append(ms)
                        cpu[name] += one.cpu_ms() - before
                    answer = json.loads(said)["choices"][0].get("message", {})
                    told = {key: answer[key] for key in ("role", "content") if key in answer}
                    talks[name] += [told, {"role": "user", "content": f"{turn} {TEXT}"}]
            for name in all_of_them:
                figures[name].add(at, cpu[name], times[name])
    return figures


def _prompt(subject: Subject, messages: list[Any], tokens: int) -> bytes:
    if subject.ids:
        return json.dumps({"model": "m", "token_ids": [40_000] * tokens}).encode()
    return json.dumps({"model": "m", "messages": messages}).encode()


def tokenizer_of_smollm2(folder: Path) -> tuple[Path, Path]:
    """The tokenizer of the local model as tokenizer.json, and its chat template."""
    import agentcore_rl.local_model as local_model
    from agentcore_rl_gateway.rendering.gguf import gguf_vocabulary

    place = folder / "tokenizer.json"
    gguf_vocabulary(local_model.find_model())[0].tokenizer.save(str(place))
    return place, Path(local_model.__file__).parent / "chat_template.jinja"


def tokenised_ms(tokenizer_file: Path) -> list[float]:
    """CPU of tokenising a whole prompt, by length: what an engine pays per call that gets messages."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    found = []
    for length in LENGTHS:
        text = TEXT * (length // 128)
        began = time.process_time()
        for _ in range(3):
            tokenizer.encode(text, add_special_tokens=False)
        found.append((time.process_time() - began) * 1000 / 3)
    return found


# ---- the tables


def row(name: str, *parts: Sequence[float], end: str = "") -> str:
    """One line."""
    columns = "   ".join("".join(f"{value:8.2f}" for value in part) for part in parts)
    return f"{name:18}{columns}{end}"


def show(title: str, figures: dict[str, Figures], relay: str) -> None:
    """A table of one mode."""
    heads = ("CPU ms per call", "CPU ms, least round", "added p50 ms", "added p99 ms")
    lengths = "".join(f"{f'{length // 1000}k':>8}" for length in LENGTHS)
    more = f"   p50 ms, 1k  calls/s at {AT_ONCE}, 1k  CPU ms of these"
    print(f"{title:18}{'   '.join(f'{head:32}' for head in heads)}{more}")
    print(f"{'':18}{'   '.join([lengths] * 4)}")
    for name, mine in figures.items():
        added = [
            [
                statistics.median(a - b for a, b in zip(rounds, floors, strict=True))
                for rounds, floors in zip(getattr(mine, kind), getattr(figures[relay], kind), strict=True)
            ]
            for kind in ("p50", "p99")
        ]
        end = f"   {min(mine.p50[0]):10.2f}" + (
            f"  {max(mine.rate):18.0f}  {min(mine.cpu_at_once):15.2f}" if mine.rate else ""
        )
        print(row(name, mine.per_call(), mine.least(), *added, end=end))
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)


async def _measure(chosen: dict[str, Subject], port: int, place: Path, rounds: int) -> None:
    for title, token_in, relay in (("capture", False, "relay"), ("token-in", True, "relay, token-in")):
        with contextlib.ExitStack() as stack:
            mine = {name: subject for name, subject in chosen.items() if subject.token_in is token_in}
            up: dict[str, Running] = {}
            for name, subject in mine.items():
                up[name] = stack.enter_context(running(subject, port, place / name.replace(" ", "_")))
            for name in list(up):
                try:
                    await up[name].up()
                except TimeoutError as error:
                    print(f"{name:18}{error}", flush=True)
                    del up[name]
            if relay in up:
                show(title, await (conversed if token_in else captured)(up, rounds), relay)
            for one in up.values():
                await one.client.close()


async def _sizes(chosen: dict[str, Subject], port: int, place: Path) -> None:
    """In processes of their own: what a longer prompt once took of memory would hide what is taken."""
    for name in ("gateway", "gateway, token-in"):
        if name not in chosen:
            continue
        with running(chosen[name], port, place / f"{name}_size") as one:
            await one.up()
            for turns, disk, memory in await kept(one):
                told = f"{disk / 1e6:.2f} MB on disk, {memory / 1e6:.2f} MB in memory"
                print(f"{name:18}{turns} turns to {turns * 640:,} tokens: {told}", flush=True)
            await one.client.close()


def main() -> None:
    """Print the tables."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="beside the relays")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "gateway-benchmark")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    tokenizer, template = tokenizer_of_smollm2(options.folder)
    chosen = {}
    for name, subject in subjects(options.folder, tokenizer, template).items():
        if options.only is not None and name not in options.only and not name.startswith("relay"):
            continue
        if why := installed(subject.peer, options.folder):
            print(f"{name:18}{why}", flush=True)
        else:
            chosen[name] = subject
    port = free_port()
    upstream = [sys.executable, str(HERE / "gateway_upstream.py"), "upstream", str(port)]
    with started(upstream), tempfile.TemporaryDirectory() as place:
        asyncio.run(_measure(chosen, port, Path(place), options.rounds))
        asyncio.run(_sizes(chosen, port, Path(place)))
    print(row("bar, capture", BARS_MS))
    print(row("tokenising alone", tokenised_ms(tokenizer)))


if __name__ == "__main__":
    main()
