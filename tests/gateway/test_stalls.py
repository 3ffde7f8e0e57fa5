"""Hostile and huge requests: the event loop goes on, whatever one of them costs."""

import asyncio
import itertools
import json
import time

import pytest

from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_gateway.bodies import MOST_VALUES
from agentcore_rl_gateway.engines.capture import Capture
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.token_in import TokenIn
from gateway_doubles import EngineServer, vllm
from loop_stalls import LoopClock, slowness
from made_vocabulary import made_vocabulary, sampled

MOST_S = 0.05
PATIENCE_S = 40.0
"""A machine that is shared may stand still for a while, and count that as work of whoever ran."""
VOCABULARY = made_vocabulary()


class Watched:
    """A mode with a clock on its loop."""

    clock: LoopClock

    async def start(self):
        await super().start()
        self.clock.start()

    async def close(self):
        await self.clock.stop()
        await super().close()


class WatchedCapture(Watched, Capture):
    """Capture, watched."""


class WatchedTokenIn(Watched, TokenIn):
    """Token-in, watched."""


def stall_of(serve, mode_of, send, wanted):
    """The least time that sending a request took of a gateway's loop, as on an idle machine.

    Args:
        serve: starts a gateway with a mode.
        mode_of: makes a watched mode.
        send: sends the request, given the gateway and a key.
        wanted: the status that must come back.
    """
    mode = mode_of()
    mode.clock = LoopClock()
    desk = serve(mode)
    least_s, until, attempts = float("inf"), time.monotonic() + PATIENCE_S, 0
    while least_s >= MOST_S and time.monotonic() < until:
        attempts += 1
        key = desk.open(f"attempt-{attempts}")
        mode.clock.reset()
        status, said, _ = send(desk, key)
        assert status == wanted, said
        # A busy machine makes every step slower now and then, a stall is there each time.
        least_s = min(least_s, mode.clock.longest_s / slowness())
    return least_s


def _user(content):
    return {"role": "user", "content": content}


def _body(messages, **fields):
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


def _tools(count):
    return [
        {"type": "function", "function": {"name": f"f{at}", "parameters": {"type": "object"}}}
        for at in range(count)
    ]


BODIES = {
    "one long text": lambda: (_body([_user("word and " * 750_000)]), 200),
    "text full of commas": lambda: (_body([_user("a," * 3_000_000)]), 200),
    "text full of escapes": lambda: (_body([_user('\\"\n' * 1_200_000)]), 200),
    "blanks": lambda: (b'{"model":"m",' + b" " * 7_000_000 + b'"messages":' + b'[{"role":"user"}]}', 200),
    "tiny messages": lambda: (_body([_user("hi")] * 150_000), 413),
    "tiny parts": lambda: (_body([_user([{"type": "text", "text": "a"}] * 150_000)]), 413),
    "numbers": lambda: (_body([_user("x")], stop=[1] * 2_000_000), 413),
    "fields": lambda: (_body([_user("x")], **{f"k{at}": 1 for at in range(90_000)}), 400),
    "one field again and again": lambda: (_body([_user("x")])[:-1] + b',"a":1' * 900_000 + b"}", 413),
    "never closed": lambda: (b'{"model":"m","messages":' + b"[" * 4_000_000, 400),
}


@pytest.mark.parametrize("kind", BODIES)
def test_no_request_stalls_the_loop(serve, kind):
    """Seven megabytes of anything: an answer or a refusal, and less than 50 ms of the loop's own time."""
    content, wanted = BODIES[kind]()
    with EngineServer(lambda *_: (200, {"content-type": "application/json"}, _answer(3))) as engine:
        stalled = stall_of(
            serve,
            lambda: WatchedCapture(engine.url),
            lambda desk, key: desk.send("POST", "/v1/chat/completions", content, key),
            wanted,
        )
    assert stalled < MOST_S


def _answer(prompt_ids):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}
    choice |= {"token_ids": [1], "logprobs": {"content": [{"token": "a", "logprob": -1.0}]}}
    return json.dumps({"id": "x", "choices": [choice], "prompt_token_ids": [12_345] * prompt_ids}).encode()


def test_no_answer_stalls_the_loop(serve):
    """A million ids of a prompt in one answer: read and packed in a thread."""
    answers = itertools.chain([_answer(3)], itertools.repeat(_answer(1_000_000)))
    with EngineServer(lambda *_: (200, {"content-type": "application/json"}, next(answers))) as engine:
        stalled = stall_of(
            serve, lambda: WatchedCapture(engine.url), lambda desk, key: desk.chat(key, [_user("x")]), 200
        )
    assert stalled < MOST_S


TOKEN_IN = {
    "long text": lambda: ([_user("word and " * 60_000)], [], 200),
    "the longest text": lambda: ([_user("word and " * 230_000)], [], 200),
    "too long a text": lambda: ([_user("word and " * 750_000)], [], 413),
    "many messages": lambda: ([_user("hi"), {"role": "assistant", "content": "a"}] * 2_500, [], 200),
    "too many messages": lambda: ([_user("hi")] * 10_001, [], 400),
    "many tools": lambda: ([_user("hi")], _tools(5_000), 200),
}


@pytest.mark.parametrize("kind", TOKEN_IN)
def test_no_prompt_stalls_the_loop(serve, kind):
    """Long prompts are rendered and packed in a thread, whether messages or tools make them long."""
    messages, tools, wanted = TOKEN_IN[kind]()
    ids = sampled(VOCABULARY, "hello")
    with vllm(lambda _: (ids, [-1.0] * len(ids), "stop")) as engine:
        stalled = stall_of(
            serve,
            lambda: WatchedTokenIn(VLLM(engine.url), ChatMLHermes(VOCABULARY)),
            lambda desk, key: desk.chat(key, messages, tools=tools, h_agentcore_rl_tokens="new"),
            wanted,
        )
    assert stalled < MOST_S


def test_so_many_values_are_read(serve):
    """The most values that are allowed pass, one more does not."""
    with ScriptedModel(lambda _: Answer("x")) as model:
        desk = serve(model.base_url)
        key = desk.open()
        around = _body([_user("x")], stop=[]).count(b",")
        for more, wanted in ((0, 200), (1, 413)):
            content = _body([_user("x")], stop=[1] * (MOST_VALUES - around + 1 + more))
            assert desk.send("POST", "/v1/chat/completions", content, key)[0] == wanted


async def test_the_clock_sees_a_stall():
    """The measure has teeth: a callback that works for 60 ms is seen."""
    clock = LoopClock()
    clock.start()
    await asyncio.sleep(0.01)
    began = time.thread_time()
    while time.thread_time() - began < 0.06:
        continue
    await asyncio.sleep(0.01)
    await clock.stop()
    assert clock.longest_s >= MOST_S
