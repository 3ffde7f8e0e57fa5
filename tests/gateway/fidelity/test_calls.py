"""F1, F8, F10, F11 and F13: single calls, their ends, their repetitions, and a gateway that is killed."""

import asyncio
import json
import random
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest

from agentcore_rl.testing import Answer, ScriptedModel, StreamStyle
from agentcore_rl_gateway.engines.sglang import SGLang
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.log import CallAnswered, read_log
from agentcore_rl_gateway.past import whole_turns
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.token_in import TokenIn
from gateway_crash import crash
from gateway_doubles import EngineServer, sglang, vllm
from gateway_fidelity import (
    SCALE,
    Answered,
    EngineLog,
    Talk,
    bench,
    count,
    count_bench,
    generate,
    in_turn,
    wrong_in_turns,
)
from made_vocabulary import made_vocabulary, sampled

VOCABULARY = made_vocabulary()
END = VOCABULARY.control["<|im_end|>"]
SPLIT = "é日本🙂 word "
USER = [{"role": "user", "content": "Hello?"}]


# ---- F1


def _unpacked(content):
    return [int.from_bytes(content[at : at + 4], "little") for at in range(0, len(content), 4)]


class Reader:
    """What a client reads of each answer, put together by the names that the answers give."""

    def __init__(self):
        self.whole, self.turns = {}, []

    def take(self, text):
        """One answer, as JSON or as a stream."""
        if text.startswith("{"):
            said = json.loads(text)
        else:
            chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
            (said,) = [chunk for chunk in chunks if "agentcore_rl" in chunk]
        tokens = said["agentcore_rl"]
        before = self.whole.get(tokens["placed_on"], [])
        prompt = before[: tokens["prompt_keep"]] + tokens["prompt_new"]
        self.whole[said["id"]] = prompt + tokens["answer"]
        self.turns.append((prompt, tokens["answer"], tokens["logprobs"]))


async def _many_calls(desk, number, draw, reader):
    """Eight conversations at once, which go on or begin anew, streamed or not."""
    keys = [desk.open(f"s{at}") for at in range(8)]

    async def converse(client, at):
        messages, own = [], random.Random(f"{at} {draw.random()}")
        for turn in range(number // 8):
            if not messages or own.random() < 0.2:
                messages = [{"role": "user", "content": f"begin {at} {turn} 日本"}]
            body = {"model": "m", "messages": messages, "stream": own.random() < 0.5}
            headers = {"authorization": f"Bearer {keys[at]}", "agentcore-rl-tokens": "new"}
            url = desk.server.base_url + "/chat/completions"
            async with client.post(url, json=body, headers=headers) as answer:
                text = await answer.text()
                assert answer.status == 200, text
            reader.take(text)
            messages = [*messages, {"role": "assistant", "content": f"x{turn}"}, USER[0]]

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=50)) as client:
        await asyncio.gather(*(converse(client, at) for at in range(8)))


def _count_f1(desk, answers, reader, note):
    """What clients read and what the gateway's log says, both against the engine's log."""
    entries = [entry for entry in read_log(desk.folder) if isinstance(entry, CallAnswered)]
    logged = []
    for session in {entry.session for entry in entries}:
        mine = whole_turns(entry for entry in entries if entry.session == session)
        logged += [(_unpacked(turn.prompt), list(turn.answer), list(turn.logprobs)) for turn in mine]
    wrong = wrong_in_turns(answers, reader.turns) + wrong_in_turns(answers, logged)
    count("F1", calls=len(answers), sampled=sum(len(a.ids) for a in answers), wrong=wrong, note=note)


@pytest.mark.timeout(600)
async def test_f1_random_calls_token_in(serve):
    """Random ids, inside characters too, in chunks and pieces of any size: recorded as they were sent."""
    draw, number = random.Random(1), 100 * SCALE
    log = EngineLog(lambda _: [*VOCABULARY.encode(SPLIT * draw.randrange(2)), *draw.choices(range(256), k=9)])
    with generate(log, random.Random(2)) as server:
        desk = await asyncio.to_thread(serve, TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        reader = Reader()
        await _many_calls(desk, number, draw, reader)
        _count_f1(desk, log.answers, reader, "pieces of 1, 7 and 4096 bytes")


@pytest.mark.timeout(600)
async def test_f1_random_calls_capture(serve):
    """The same of a server that renders itself, whose prompts drift as they like."""
    draw, number = random.Random(3), 100 * SCALE
    answers: list[Answered] = []

    def script(_):
        prompt = [7, *draw.choices(range(9), k=3), *draw.choices(range(100_000), k=draw.randrange(20))]
        ids = draw.choices(range(100_000), k=draw.randrange(1, 12))
        values = [-(1 + at + draw.random()) / 16 for at in range(len(ids))]
        answers.append(Answered(prompt, ids, values))
        size = draw.choice([1, 7, 4096, 4096])
        return Answer(
            SPLIT,
            token_ids=ids,
            prompt_token_ids=prompt,
            logprobs=values,
            chunks=draw.randrange(1, 4),
            style=StreamStyle(piece_bytes=size, newline=draw.choice(["\n", "\r\n", "\r"])),
        )

    with ScriptedModel(script) as model:
        desk = await asyncio.to_thread(serve, model.base_url)
        answers.clear()  # of the probe
        reader = Reader()
        await _many_calls(desk, number, draw, reader)
        _count_f1(desk, answers, reader, "token-in and capture")


# ---- F8


def _end(kind):
    text = VOCABULARY.encode("Thought\nObservation:")
    return {
        "eos": ([*text, END], "stop"),
        "stop text": (text, "stop"),
        "length": (text, "length"),
    }[kind]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["eos", "stop text", "length"])
def test_f8_the_end_is_what_was_sampled(serve, kind, stream):
    """An end that was sampled is the last id and trains; after a stop text or a cut there is none."""
    ids, reason = _end(kind)
    log = in_turn([(ids, reason), sampled(VOCABULARY, "then")])
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        with bench(desk, log) as done:
            talk = Talk()
            fields = {"stop": ["\nObservation:"]} if kind == "stop text" else {}
            if stream:
                _streamed(talk, **fields)
            else:
                talk.turn(**fields)
            talk.turn()
            first, second = log.answers
            # What the template has behind an answer stands there once, whether it was sampled or not.
            behind = second.prompt[len(first.prompt) + len(ids) :]
            assert (behind[0] == END) == (kind != "eos")
            row = done.rows()[0]
            at = len(first.prompt) + len(ids)
            assert (row.ids[at - 1] == END, row.mask[at - 1], row.mask[at]) == (kind == "eos", 1, 0)
            assert done.turns()[0].stored.finish_reason == ("length" if kind == "length" else "stop")
            count_bench("F8", done, 1)


def _streamed(talk, **fields):
    chunks = talk.client.chat.completions.create(
        model="policy", messages=talk.messages, stream=True, **fields
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    talk.messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "Go on."}]


@pytest.mark.parametrize("stream", [False, True])
def test_f8_an_aborted_answer_is_no_row(serve, stream):
    """An engine that gives an answer up: an error, a failed call, and no row."""
    log = in_turn([(VOCABULARY.encode("half of"), "abort")])
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        key = desk.open()
        said = desk.chat(key, USER, stream=stream)[1]
        assert "engine_broke_off" in (said if stream else json.dumps(said))
        told = desk.control("GET", "/sessions/r1")
        history = desk.server.calls.sessions.find("r1").memory.history
        assert (told["calls"]["answered"], told["calls"]["failed"], told["tokens"]["kept"]) == (0, 1, 0)
        count("F8", calls=1, sampled=log.sampled, wrong=0, rows=len(history.rows()), wanted=0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fake", "client"), [(vllm, VLLM), (sglang, SGLang)], ids=["vllm", "sglang"])
def test_f6_what_an_aborted_answer_sampled_is_partial(serve, stream, fake, client):
    """The engine sampled these ids and gave up: the session counts every one of them as partial."""
    log = in_turn([(VOCABULARY.encode("half of it"), "abort")])
    with fake(log) as server:
        desk = serve(TokenIn(client(server.url), ChatMLHermes(VOCABULARY)))
        desk.chat(desk.open(), USER, stream=stream)
        told = desk.control("GET", "/sessions/r1")["tokens"]
    assert told["sampled"] == told["partial"] == log.sampled
    count("F6", calls=1, sampled=log.sampled, wrong=0, note="aborted answers are partial")


# ---- F10


def _slow(log, slow):
    """An engine whose first answer takes its time."""

    def sample(prompt):
        if not log.answers:
            slow.wait(10)
        return log(prompt)

    return sample


def test_f10_a_call_that_is_sent_again_trains_once(serve):
    """The client times out and repeats its call, with the id that it had: one answer, one row."""
    log, slow = in_turn([sampled(VOCABULARY, f"answer {at}") for at in range(9)]), threading.Event()
    with vllm(_slow(log, slow)) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        key = desk.open()
        _leave_early(desk, key, wait_s=0.3)
        slow.set()
        said = [desk.chat(key, USER, h_idempotency_key="k", h_agentcore_rl_tokens="new")[1] for _ in range(3)]
        assert len({answer["id"] for answer in said}) == 1
        rows = desk.server.calls.sessions.find("r1").memory.history.rows()
        trained = [[i for i, on in zip(row.ids, row.mask, strict=True) if on] for row in rows]
        told = desk.control("GET", "/sessions/r1")
    assert trained == [said[0]["agentcore_rl"]["answer"]]
    assert trained[0] in [answer.ids for answer in log.answers]
    assert told["calls"]["answered"] == 1
    assert told["tokens"]["kept"] == len(trained[0])
    count("F10", calls=4, sampled=len(trained[0]), wrong=0, rows=len(rows), wanted=1)


def _leave_early(desk, key, wait_s, **fields):
    """A client that sends its call, waits a little, and resets the connection."""
    host, port = desk.root.removeprefix("http://").split(":")
    body = json.dumps({"model": "scripted", "messages": USER, **fields}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    head += f"idempotency-key: k\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(head.encode() + body)
        time.sleep(wait_s)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_f10_a_client_lost_in_a_stream_leaves_no_row(serve):
    """What nobody got does not train, and does not come back as a row when the conversation begins anew."""
    log, slow = in_turn([sampled(VOCABULARY, f"answer {at}") for at in range(9)]), threading.Event()
    with vllm(_slow(log, slow)) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        key = desk.open()
        _leave_early(desk, key, wait_s=0.3, stream=True)
        slow.set()
        said = desk.chat(key, USER, h_idempotency_key="other", h_agentcore_rl_tokens="new")[1]
        rows = desk.server.calls.sessions.find("r1").memory.history.rows()
        trained = [[i for i, on in zip(row.ids, row.mask, strict=True) if on] for row in rows]
    assert trained == [said["agentcore_rl"]["answer"]]
    count("F10", calls=2, sampled=len(trained[0]), wrong=0, rows=len(rows), wanted=1)


# ---- F11


BAD = {
    "missing": lambda values: [],
    "too few": lambda values: values[:-1],
    "too many": lambda values: [*values, values[-1]],
    "NaN": lambda values: [values[0], float("nan"), *values[2:]],
    "infinite": lambda values: [values[0], float("-inf"), *values[2:]],
    "null": lambda values: [values[0], None, *values[2:]],
    "above zero": lambda values: [values[0], 0.5, *values[2:]],
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("named", [True, False], ids=["named", "by position"])
def test_f11_bad_logprobs_never_train(serve, bad, named):
    """Logprobs that are missing, too many or no numbers: an error, or masked with a reason; never 0.0."""
    ids = sampled(VOCABULARY, "one two")
    good = [-(at + 1) / 64 for at in range(len(ids))]

    def answer(_, body):
        values = BAD[bad](good)
        names = [f"token_id:{one}" if named else "x" for one in [*ids, ids[-1]]]
        content = [{"token": name, "logprob": value} for name, value in zip(names, values, strict=False)]
        choice = {"logprobs": {"content": content}, "finish_reason": "stop", "token_ids": ids}
        return 200, {"content-type": "application/json"}, json.dumps({"choices": [choice]}).encode()

    with EngineServer(answer) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        status, said, _ = desk.chat(desk.open(), USER, h_agentcore_rl_tokens="new")
        told = desk.control("GET", "/sessions/r1")["tokens"]
        history = desk.server.calls.sessions.find("r1").memory.history
        rows, lit = history.rows(), 0
        wrong = 0
        for row in rows:
            first = len(row.ids) - len(ids)
            lit += sum(row.mask)
            wrong += sum(
                bool(on) and row.logprobs[first + at] != good[at] for at, on in enumerate(row.mask[first:])
            )
    if status == 200:
        assert told["masked"], told
        assert told["kept"] == lit < len(ids)
        assert 0.0 not in (said["agentcore_rl"]["logprobs"] or [])
    else:
        assert (status, said["error"]["type"]) == (502, "server_error")
        assert (rows, told["kept"]) == ([], 0)
    count("F11", calls=1, sampled=len(ids), wrong=wrong, note="an error, or masked with a reason")


# ---- F13


@pytest.mark.timeout(600)
def test_f13_a_kill_loses_nothing(tmp_path):
    """Gateways are killed under load: each answered call is in the log, id for id, and no turn is partial."""
    kills = 2 * SCALE
    draw = random.Random(9)
    with ScriptedModel(lambda _: Answer("x")) as model, ThreadPoolExecutor(3) as threads:
        runs = [
            threads.submit(crash, model.base_url, tmp_path / str(at), draw.uniform(0.02, 0.3))
            for at in range(kills)
        ]
        ended = [run.result() for run in runs]
    answered, missing = sum(one[0] for one in ended), sum(one[1] for one in ended)
    assert answered > 0
    count("F13", calls=answered, sampled=2 * answered, wrong=missing, note=f"{kills} kills")
