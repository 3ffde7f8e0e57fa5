import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.testing import Answer, ScriptedModel, StreamStyle
from agentcore_rl_gateway.chat import read_ask
from agentcore_rl_gateway.engines.capture import Capture
from agentcore_rl_gateway.engines.capture_answer import cut_prompt_ids, read_completion
from agentcore_rl_gateway.lineage import unpacked
from gateway_doubles import EngineServer

USER = [{"role": "user", "content": 'say "prompt_token_ids":[1,2] 🙂'}]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_ids_do_not_depend_on_how_a_stream_is_cut(serve, newline, piece):
    """Whatever the line ends and the pieces of a stream: text, ids and logprobs are the same."""
    style = StreamStyle(newline=newline, piece_bytes=piece, comments=True)
    with ScriptedModel(lambda _: Answer("日本語 🙂 text", chunks=5, style=style)) as model:
        desk = serve(model.base_url)
        said = desk.chat(desk.open(), USER, stream=True, h_agentcore_rl_tokens="new")[1]
    chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    (tokens,) = [chunk["agentcore_rl"] for chunk in chunks if "agentcore_rl" in chunk]
    assert text == "日本語 🙂 text"
    assert tokens["answer"] == [*text.encode(), 257]
    assert len(tokens["logprobs"]) == len(tokens["answer"])
    assert not any("token_ids" in choice for chunk in chunks for choice in chunk["choices"])


def _completion(**extra):
    choice = {"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "choices": [choice],
        "usage": usage,
        **extra,
    }


def _sglext(body):
    said = _completion()
    if body.get("return_output_ids"):
        said["sglext"] = {"input_ids": [1, 2, 3], "output_ids": [97, 98, 257]}
        said["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -0.5}] * 3}
    return said


def _llama(body):
    said = _completion()
    if body.get("logprobs"):
        content = [{"id": one, "token": "", "logprob": -0.5} for one in (97, 98, 257)]
        said["choices"][0]["logprobs"] = {"content": content}
    return said


@pytest.mark.parametrize(
    ("answer", "dialect", "ids", "remarks"),
    [
        (_sglext, "sglext", [97, 98, 257], []),
        (_llama, "ids of logprobs", [97, 98, 257], ["no_prompt_ids"]),
        (lambda _: _completion(), "no token ids", None, ["no_token_ids"]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_probe_finds_how_a_server_gives_ids(serve, answer, dialect, ids, remarks, stream):
    """SGLang's `sglext`, llama.cpp's logprobs, or none, which is marked; `/healthz` says which."""
    with EngineServer(
        lambda _, body: (200, {"content-type": "application/json"}, json.dumps(answer(body)).encode())
    ) as server:
        desk = serve(Capture(server.url + "/v1"))
        said = desk.chat(desk.open(), USER, stream=stream, h_agentcore_rl_tokens="new")[1]
        assert desk.send("GET", "/healthz")[1]["token_ids"] == dialect
    if stream:
        chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
        (said,) = [chunk for chunk in chunks if "agentcore_rl" in chunk]
    assert "sglext" not in said
    assert said["agentcore_rl"]["answer"] == ids
    assert said["agentcore_rl"]["remarks"] == remarks


def test_a_message_that_spells_ids_is_not_cut():
    """Only a key of the answer is taken for the prompt's ids, never a message's text that looks like one."""
    body = json.dumps({"content": '"prompt_token_ids":[1]', "prompt_token_ids": [7, 8]}).encode()
    rest, ids = cut_prompt_ids(body)
    assert json.loads(rest) == {"content": '"prompt_token_ids":[1]', "prompt_token_ids": []}
    assert ids is not None
    assert json.loads(b"[" + ids.text + b"]") == [7, 8]


_TEXTS = st.sampled_from(
    ["a", "}]", '"logprobs":{"content":[{}]}', '\\"logprobs":{"content":[', "]}", "日本 🙂", "\\", '"']
)
_ENTRIES = st.builds(
    lambda text, value, top: {"token": text, "logprob": value, "bytes": [1, 2], "top_logprobs": top},
    _TEXTS,
    st.floats(-20, 0),
    st.lists(st.fixed_dictionaries({"token": _TEXTS, "logprob": st.floats(-20, 0)}), max_size=2),
)
_OTHERS = st.sampled_from([None, {"content": [{"logprob": -1.0}]}, {"content": []}, {"content": [[{}]]}, "x"])


@given(
    st.lists(_ENTRIES, max_size=4),
    _TEXTS,
    st.dictionaries(st.sampled_from(["logprobs", "reasoning", "audio"]), _OTHERS),
    st.sampled_from([None, (",", ":"), (", ", " : ")]),
    st.booleans(),
    st.booleans(),
)
def test_logprobs_are_taken_wherever_they_stand(entries, text, fields, separators, wanted, last):
    """Whatever else has their name: ids and logprobs are the engine's, the rest goes on."""
    message = {"role": "assistant", "content": text, **fields}
    logprobs = {"content": entries, "refusal": None}
    choice = {"message": message, "token_ids": list(range(len(entries))), "finish_reason": "stop"}
    choice = {**choice, "logprobs": logprobs} if last else {"logprobs": logprobs, **choice}
    said = _completion(choices=[choice])
    asked = {"model": "m", "messages": USER, **({"logprobs": True} if wanted else {})}
    ask = read_ask(json.dumps(asked).encode(), model=None, sampling={})
    content = json.dumps(said, separators=separators, ensure_ascii=not last).encode()
    finished = read_completion(content, ask)
    assert list(unpacked(finished.answer)) == choice.pop("token_ids")
    told = struct.unpack(f"<{len(entries)}d", finished.logprobs)
    assert told == tuple(entry["logprob"] for entry in entries)
    choice["logprobs"] = logprobs if wanted else None
    assert json.loads(finished.body) == said


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("given", [[7, 8], None])
def test_prompt_ids_of_another_object_are_carried(plain, last, given):
    """A message's field of that name, before or behind the engine's own, goes on as it is."""
    message = {"role": "assistant", "content": "ab", "prompt_token_ids": [1, 2, 3]}
    entries = {"content": [{"token": "a", "logprob": -0.5}]}
    choice = {"message": message, "token_ids": [1], "logprobs": entries, "finish_reason": "stop"}
    said = {"id": "x", "choices": [choice], **({} if plain else {"other": 1})}
    ids = {} if given is None else {"prompt_token_ids": given}
    content = json.dumps({**said, **ids} if last else {**ids, **said}).encode()
    ask = read_ask(json.dumps({"model": "m", "messages": USER}).encode(), model=None, sampling={})
    finished = read_completion(content, ask)
    told = None if finished.prompt is None else json.loads(b"[" + finished.prompt.text + b"]")
    assert told == given
    del choice["token_ids"]
    assert json.loads(finished.body) == {**said, "choices": [{**choice, "logprobs": None}]}


def test_logprobs_of_another_object_are_carried():
    """Where the choice has none, a field of that name elsewhere is the client's."""
    message = {"role": "assistant", "content": "ab", "audio": {"logprobs": {"content": [{"logprob": -1.0}]}}}
    said = _completion(choices=[{"message": message, "token_ids": [1], "finish_reason": "stop"}])
    ask = read_ask(json.dumps({"model": "m", "messages": USER}).encode(), model=None, sampling={})
    finished = read_completion(json.dumps(said).encode(), ask)
    assert json.loads(finished.body)["choices"][0]["message"] == message
    assert finished.logprobs is None
