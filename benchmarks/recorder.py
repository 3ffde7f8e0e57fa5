"""What recording costs: CPU per model call with our transport beside the same client without it.

The openai SDK calls a ScriptedModel in another process, by prompt length and kind of answer. "plain" is the
SDK on a non-closing httpx2 client; "recorded" is the same SDK on ours, inside a rollout whose history grows
by one message per call, as an agent's does. Prompts have about four characters per token.

    python benchmarks/recorder.py [--rounds N] [--calls N]
"""

import argparse
import asyncio
import contextlib
import gc
import json
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import httpx2
import openai

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder import calls
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.recorder.wire import AsyncWireClient, clients, openai_arguments

LENGTHS = (1_000, 10_000, 32_000, 100_000)
MESSAGE_TOKENS = 500
BAR_MS, BAR_MS_PER_1000 = 0.3, 0.03


def serve(pipe: Any) -> None:
    """A model server in a process of its own, so that its CPU is not counted."""
    from agentcore_rl.testing import Answer, ScriptedModel

    with ScriptedModel(lambda call: Answer("word " * 20, chunks=16, usage={})) as model:
        pipe.send(model.base_url)
        pipe.recv()
        model.take_calls()


def history(tokens: int) -> list[dict[str, str]]:
    """Messages of about so many tokens, like those of an agent's history."""
    text = "word " * (MESSAGE_TOKENS * 4 // 5)
    return [
        {"role": "assistant" if number % 2 else "user", "content": f"{number} {text}"}
        for number in range(max(1, tokens // MESSAGE_TOKENS))
    ]


async def spent(ask: Callable[[list[dict[str, str]]], Awaitable[None]], tokens: int, count: int) -> float:
    """CPU milliseconds per call, over some calls with a growing history."""
    messages = history(tokens)
    await ask(messages)
    gc.collect()
    gc.disable()
    try:
        used = 0.0
        for number in range(count):
            messages.append({"role": "user", "content": f"and {number}?"})
            before = time.process_time()
            await ask(messages)
            used += time.process_time() - before
            messages.append({"role": "assistant", "content": "word " * 20})
    finally:
        gc.enable()
    return used / count * 1000


def asking(sdk: openai.AsyncOpenAI, streamed: bool) -> Callable[[list[dict[str, str]]], Awaitable[None]]:
    """One call through the SDK."""

    async def ask(messages: list[dict[str, str]]) -> None:
        answer: Any = await sdk.chat.completions.create(
            model="policy", messages=cast(Any, messages), temperature=1.0, stream=streamed
        )
        if streamed:
            async for _ in answer:
                pass

    return ask


@contextlib.asynccontextmanager
async def both(url: str, streamed: bool) -> AsyncIterator[dict[str, Any]]:
    """The two ways to ask."""
    plain = AsyncWireClient(transport=httpx2.AsyncHTTPTransport(verify=False), trust_env=False, timeout=60)
    sdk = openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0, http_client=cast(Any, plain))
    ours = openai.AsyncOpenAI(
        http_client=cast(Any, clients()[1]), **openai_arguments(agent="main", timeout_s=60.0)
    )
    yield {"plain": asking(sdk, streamed), "recorded": asking(ours, streamed)}
    await plain._transport.aclose()


async def measure(url: str, rounds: int, count: int) -> None:
    """Prints one line per length and kind, the best round of each."""
    heads = {"prompt": 8, "answer": 7, "plain ms": 9, "recorded": 9, "ratio": 6, "cost ms": 8, "bar ms": 7}
    print(" ".join(head.rjust(width) for head, width in heads.items()))
    for tokens in LENGTHS:
        for streamed in (False, True):
            best = {"plain": float("inf"), "recorded": float("inf")}
            async with both(url, streamed) as ways:
                for _ in range(rounds):
                    for name, ask in ways.items():
                        with rollout_scope(Scope(Endpoint(url, "real-id"), Recorder())):
                            best[name] = min(best[name], await spent(ask, tokens, count))
            cost = best["recorded"] - best["plain"]
            bar = BAR_MS + BAR_MS_PER_1000 * tokens / 1000
            kind = "stream" if streamed else "whole"
            print(
                f"{tokens:>8} {kind:>7} {best['plain']:>9.2f} {best['recorded']:>9.2f} "
                f"{best['recorded'] / best['plain']:>6.2f} {cost:>8.2f} {bar:>7.2f}"
                f"{'' if cost <= bar else '  over'}"
            )


def parts() -> None:
    """Prints what each part takes at 100,000 tokens, also with ids and logprobs in the answer."""
    body = json.dumps({"model": "policy", "messages": history(100_000), "temperature": 1.0}).encode()
    endpoint = Endpoint("http://127.0.0.1/v1", "real-id")
    times: dict[str, float] = {}
    recorder = Recorder()
    choice = {
        "message": {"role": "assistant", "content": "x"},
        "finish_reason": "stop",
        "token_ids": [151_000] * 500,
        "logprobs": {"content": [{"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}] * 500},
    }
    answer = json.dumps({"choices": [choice], "prompt_token_ids": [151_000] * 100_000}).encode()
    for _ in range(5):
        start = time.process_time()
        ask = calls.prepare(body, endpoint)
        middle = time.process_time()
        assert ask is not None
        recorder.begin(ask, labels={}, inferred=False)
        end = time.process_time()
        reader = calls.AnswerReader(event_stream=False)
        reader.feed(answer)
        reader.finish()
        read = time.process_time() - end
        times["read an answer with 100,000 prompt ids"] = min(
            times.get("read an answer with 100,000 prompt ids", 9), read
        )
        times["prepare"] = min(times.get("prepare", 9), middle - start)
        times["place in the graph"] = min(times.get("place in the graph", 9), end - middle)
    print(
        "\nat 100,000 tokens, history known: " + ", ".join(f"{k} {v * 1000:.2f} ms" for k, v in times.items())
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--calls", type=int, default=15)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    asyncio.run(measure(ours.recv(), options.rounds, options.calls))
    parts()
    ours.send(None)
    process.join(10)


if __name__ == "__main__":
    main()
