"""Engines whose answers are not what they should be: each call is answered, refused as theirs, or marked."""

import json
import random

import pytest

from agentcore_rl_gateway.engines.capture import Capture
from agentcore_rl_gateway.engines.sglang import SGLang
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.token_in import TokenIn
from gateway_doubles import ByteRenderer, EngineServer

ODD = (
    None,
    True,
    -1,
    2**31,
    2**33,
    10**400,
    -(10**400),
    0.5,
    7.5,
    "",
    "x",
    [],
    [[]],
    {},
    {"a": 10**30},
    [None],
)
USER = [{"role": "user", "content": "hello"}]


def _completion(chance, stream):
    ids = [chance.randrange(97, 120) for _ in range(3)]
    entries = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []} for _ in ids]
    calls = [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    message = {"role": "assistant", "content": "abc", "tool_calls": calls, "reasoning": "so"}
    choice = {"index": 0, "finish_reason": "stop", "logprobs": {"content": entries}, "token_ids": ids}
    choice["delta" if stream else "message"] = message
    usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    kind = "chat.completion.chunk" if stream else "chat.completion"
    said = {"id": "x", "object": kind, "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return {**said, "prompt_token_ids": [1, 2, 3]}


def _generated_by_vllm(chance, stream):
    entries = [{"token": "token_id:97", "logprob": -0.5}, {"token": "token_id:257", "logprob": -0.5}]
    choice = {"index": 0, "token_ids": [97, 257], "finish_reason": "stop", "logprobs": {"content": entries}}
    return {"request_id": "r", "choices": [choice]}


def _generated_by_sglang(chance, stream):
    entries = [[-0.5, 97, None], [-0.5, 257, None]]
    reason = {"type": "stop", "matched": 257}
    meta = {"id": "r", "completion_tokens": 2, "output_token_logprobs": entries, "finish_reason": reason}
    return {"text": "a", "output_ids": [97, 257], "meta_info": meta}


def _places(value):
    """Every place below a value: what holds it, and its name there."""
    for name, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, name
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _spoilt(said, chance):
    """The same with one or two values replaced or left out, as bytes; now and then not even JSON."""
    for _ in range(chance.randrange(1, 3)):
        holder, name = chance.choice(list(_places(said)))
        if isinstance(holder, dict) and chance.random() < 0.2:
            del holder[name]
        else:
            holder[name] = chance.choice(ODD)
    text = json.dumps(said, separators=chance.choice([(",", ":"), (", ", ": ")])).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(text))
        text = text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :]
    return text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("mode", "answer"),
    [
        (lambda url: Capture(url + "/v1"), _completion),
        (lambda url: TokenIn(VLLM(url), ByteRenderer()), _generated_by_vllm),
        (lambda url: TokenIn(SGLang(url), ByteRenderer()), _generated_by_sglang),
    ],
    ids=["capture", "vllm", "sglang"],
)
def test_whatever_an_engine_says_is_answered_or_refused_as_its_fault(serve, mode, answer, stream):
    """No answer is a defect of ours: 200 or 502 in shape; rows can be read, and every id is accounted for."""
    chance = random.Random(5)
    odd = False

    def respond(_, body):
        streams = bool(body.get("stream"))
        said = answer(chance, streams)
        content = _spoilt(said, chance) if odd else json.dumps(said).encode()
        if not streams:
            return 200, {"content-type": "application/json"}, content
        return 200, {"content-type": "text/event-stream"}, b"data: " + content + b"\n\ndata: [DONE]\n\n"

    with EngineServer(respond) as engine:
        desk = serve(mode(engine.url))
        key = desk.open()
        assert desk.chat(key, USER)[0] == 200
        odd = True
        statuses = set()
        for number in range(150):
            status, said, _ = desk.chat(key, [*USER, {"role": "user", "content": f"{number}"}], stream=stream)
            statuses.add(status)
            assert status in (200, 502), said
            told = said if isinstance(said, str) else json.dumps(said)
            assert "defect" not in told
            assert "internal_error" not in told
        assert statuses >= {200} if stream else statuses == {200, 502}
        rows = desk.control("GET", "/sessions/r1/rows")
        assert rows["account"]["holds"]
        assert "unaccounted_tokens 0\n" in desk.send("GET", "/metrics")[1]
