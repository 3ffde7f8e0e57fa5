"""A session's training rows over the control route."""

import asyncio
import json
import math
import random

import pytest

from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.serving import GatewayServer, Options
from agentcore_rl_gateway.token_in import TokenIn
from gateway_desk import Desk
from gateway_doubles import vllm
from gateway_fidelity import TOOL, EngineLog, Talk, bench, wrong_in_rows
from made_vocabulary import made_vocabulary, sampled

VOCABULARY = made_vocabulary()


def _engine(seed=0):
    draw = random.Random(seed)

    def say(prompt):
        calls = [("write", '{"path": "/a",  "content": "é"}')] * draw.randrange(2)
        return sampled(VOCABULARY, f"said {len(prompt)}", calls, "hm", draw=draw)

    return EngineLog(say)


def _told(row):
    values = [None if math.isnan(value) else value for value in row.logprobs]
    return [list(row.ids), list(row.mask), values, list(row.response_ids)]


def test_rows_are_those_of_the_history(serve):
    """Conversations that branch, are edited and drift: the log gives the rows that the history has."""
    log = _engine()
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        with bench(desk, log) as done:
            talks = [
                Talk(framework=kind, tools=[TOOL], system=f"You are {kind}.")
                for kind in ("sdk", "langgraph", "crewai")
            ]
            for turn in range(12):
                talk = talks[turn % 3]
                if turn == 7:
                    talk.messages[2] = {"role": "assistant", "content": "I never said that."}
                talk.turn()
            said = desk.control("GET", "/sessions/r1/rows")
            named = ("ids", "mask", "logprobs", "response_ids")
            assert [[row[name] for name in named] for row in said["rows"]] == [
                _told(row) for row in done.rows()
            ]
            assert wrong_in_rows(log.answers, done.rows()) == 0
            account = said["account"]
            assert account["holds"]
            assert account["sampled"] == account["trained"] == log.sampled


def test_rows_are_the_same_after_a_restart(serve, tmp_path):
    """A gateway that was started anew gives the same rows, and goes on with them."""
    log = _engine(1)
    place = tmp_path / "kept"
    with vllm(log) as server:

        def gateway():
            return GatewayServer(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)), Options(place))

        user = [{"role": "user", "content": "Hello?"}]
        with gateway() as first:
            desk = Desk(first, place)
            key = desk.open()
            answer = desk.chat(key, user)[1]["choices"][0]["message"]
            before = desk.control("GET", "/sessions/r1/rows")
        with gateway() as second:
            desk = Desk(second, place)
            assert desk.control("GET", "/sessions/r1/rows") == before
            assert desk.chat(key, [*user, answer, *user])[0] == 200
            (row,) = desk.control("GET", "/sessions/r1/rows")["rows"]
    assert row["ids"][: len(before["rows"][0]["ids"])] == before["rows"][0]["ids"]
    assert sum(row["mask"]) == log.sampled


def test_capture_gives_rows_too(serve):
    """Of a server that gives ids: one row of a conversation that goes on, and none of answers without ids."""
    with ScriptedModel(lambda call: Answer(f"answer {len(call.json['messages'])}")) as model:
        desk = serve(model.base_url)
        key = desk.open("a/rows")  # a name like the route's
        messages = [{"role": "user", "content": "one"}]
        for _ in range(3):
            said = desk.chat(key, messages)[1]["choices"][0]["message"]
            messages += [said, {"role": "user", "content": "more"}]
        told = desk.control("GET", "/sessions/a/rows/rows")
        (row,) = told["rows"]
        assert (len(row["response_ids"]), told["account"]["holds"]) == (3, True)
        assert sum(row["mask"]) == told["account"]["sampled"]
        assert desk.control("GET", "/sessions/a/rows")["session"] == "a/rows"
        assert desk.send("DELETE", "/control/sessions/a/rows/rows", None, desk.server.admin_key)[0] == 405
        assert desk.send("GET", "/control/sessions/b/rows", None, desk.server.admin_key)[0] == 404


@pytest.mark.parametrize("bad", ["abort", "stop"])
def test_what_never_trains_is_accounted_for(serve, bad):
    """An answer that was given up is partial, one without logprobs is masked: no id is lost."""
    ids = sampled(VOCABULARY, "half of it")
    values = [None] * len(ids) if bad == "stop" else [-1.0] * len(ids)
    with vllm(lambda _: (ids, values, bad)) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        desk.chat(desk.open(), [{"role": "user", "content": "x"}])
        account = desk.control("GET", "/sessions/r1/rows")["account"]
    assert account["holds"]
    assert account["trained"] == 0
    assert account["partial" if bad == "abort" else "masked"] == (
        len(ids) if bad == "abort" else {"engine_no_logprob": len(ids)}
    )


async def test_calls_that_end_in_another_order_restart_whole(serve, tmp_path):
    """The first call ends last and adds to the second's prompt: both come whole out of the log."""
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def sample(prompt):
        slow = "SLOW" in VOCABULARY.tokenizer.decode(prompt)
        if slow:
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)
        ids = sampled(VOCABULARY, "slow" if slow else "fast")
        return ids, [-1.0] * len(ids), "stop"

    place = tmp_path / "kept"
    with vllm(sample) as server:

        def gateway():
            return GatewayServer(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)), Options(place))

        system = {"role": "system", "content": "be brief " * 20}
        slow = [system, {"role": "user", "content": "SLOW"}]
        fast = [system, {"role": "user", "content": "fast"}]

        first = await asyncio.to_thread(gateway().__enter__)
        try:
            desk = Desk(first, place)
            key = await asyncio.to_thread(desk.open)
            waits = asyncio.create_task(asyncio.to_thread(desk.chat, key, slow))
            while not first.calls.sessions.find("r1").calls:  # noqa: ASYNC110 - another thread's
                await asyncio.sleep(0.01)
            await asyncio.to_thread(desk.chat, key, fast)
            go_on.set()
            assert (await waits)[0] == 200
            before = await asyncio.to_thread(desk.control, "GET", "/sessions/r1/rows")
        finally:
            await asyncio.to_thread(first.stop)
        second = await asyncio.to_thread(gateway().__enter__)
        try:
            desk = Desk(second, place)
            after = await asyncio.to_thread(desk.control, "GET", "/sessions/r1/rows")
        finally:
            await asyncio.to_thread(second.stop)
    assert json.dumps(after) == json.dumps(before)
    texts = [VOCABULARY.tokenizer.decode(row["ids"]) for row in after["rows"]]
    assert sorted("SLOW" in text for text in texts) == [False, True]
    assert all(("SLOW" in text) == text.endswith("slow") for text in texts)
