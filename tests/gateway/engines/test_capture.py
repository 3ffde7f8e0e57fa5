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
    assert json.loads(rest) == {"content": '"prompt_token_ids":[1]', "prompt_token_ids": -1}
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
    said = _completion(choices=[choice], usage={"completion_tokens": len(entries)})
    asked = {"model": "m", "messages": USER, **({"logprobs": True} if wanted else {})}
    ask = read_ask(json.dumps(asked).encode(), model=None, sampling={})
    content = json.dumps(said, separators=separators, ensure_ascii=not last).encode()
    finished = read_completion(content, ask, str)
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
    said = {"id": "x", "choices": [choice], "usage": {"completion_tokens": 1}}
    said |= {} if plain else {"other": 1}
    ids = {} if given is None else {"prompt_token_ids": given}
    content = json.dumps({**said, **ids} if last else {**ids, **said}).encode()
    ask = read_ask(json.dumps({"model": "m", "messages": USER}).encode(), model=None, sampling={})
    finished = read_completion(content, ask, str)
    told = None if finished.prompt is None else json.loads(b"[" + finished.prompt.text + b"]")
    assert told == given
    del choice["token_ids"]
    assert json.loads(finished.body) == {**said, "choices": [{**choice, "logprobs": None}]}


@pytest.mark.parametrize("value", ["prompt_token_ids", {"prompt_token_ids": [[1], 2]}])
def test_prompt_ids_are_found_whatever_else_is_called_so(value):
    """A text that is their name, and lists of lists of that name, hide nothing."""
    choice = {"message": {"content": "a", "x": value}, "token_ids": [1], "finish_reason": "stop"}
    content = json.dumps({"prompt_token_ids": [7, 8], "id": "x", "choices": [choice]}).encode()
    ask = read_ask(json.dumps({"model": "m", "messages": USER}).encode(), model=None, sampling={})
    finished = read_completion(content, ask, str)
    assert json.loads(b"[" + finished.prompt.text + b"]") == [7, 8]
    assert json.loads(finished.body)["choices"][0]["message"] == choice["message"]


@pytest.mark.parametrize("nested", [{"prompt_token_ids": [9, 9]}, {"x": [{"input_ids": [9, 9]}]}])
@pytest.mark.parametrize("where", [0, 1, None])
def test_a_delta_that_has_prompt_ids_is_carried(serve, nested, where):
    """In a stream only the engine's own field has the ids of the prompt."""

    def chunk(delta, ids, **more):
        choice = {"index": 0, "delta": delta, "token_ids": ids, "finish_reason": None, **more}
        return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}

    def answer(_, body):
        if not body.get("stream"):
            said = _completion(prompt_token_ids=[1])
            said["choices"][0]["token_ids"] = [1, 2, 3]
            return 200, {"content-type": "application/json"}, json.dumps(said).encode()
        chunks = [chunk({"content": "a", **nested}, [5]), chunk({"content": "b"}, [6])]
        chunks.append(chunk({}, [], finish_reason="stop"))
        if where is not None:
            chunks[where]["prompt_token_ids"] = [1, 2, 3]
        told = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
        return 200, {"content-type": "text/event-stream"}, told + b"data: [DONE]\n\n"

    with EngineServer(answer) as server:
        desk = serve(server.url + "/v1")
        said = desk.chat(desk.open(), USER, stream=True, h_agentcore_rl_tokens="new")[1]
    chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
    assert chunks[0]["choices"][0]["delta"] == {"content": "a", **nested}
    tokens = chunks[-1]["agentcore_rl"]
    assert tokens["prompt_new"] == (None if where is None else [1, 2, 3])
    assert tokens["answer"] == [5, 6]
    assert tokens["remarks"] == (["no_prompt_ids"] if where is None else [])


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_has_an_id_of_its_own(serve, stream):
    """An engine that gives all answers one id mixes no rows up."""
    sampled = iter(range(100))

    def answer(_, body):
        number = next(sampled)
        said = _completion(id="same", prompt_token_ids=[1, 2, 3] if number < 3 else [1, 2, 3, 10, 11, 40])
        ids = [10 + number - 1, 11]
        said["usage"]["completion_tokens"] = 2
        said["choices"][0] |= {"token_ids": ids, "logprobs": {"content": [{"logprob": -0.5}] * 2}}
        if not body.get("stream"):
            return 200, {"content-type": "application/json"}, json.dumps(said).encode()
        said["choices"][0]["delta"] = said["choices"][0].pop("message")
        told = b"data: " + json.dumps(said).encode() + b"\n\ndata: [DONE]\n\n"
        return 200, {"content-type": "text/event-stream"}, told

    with EngineServer(answer) as server:
        desk = serve(server.url + "/v1")
        key = desk.open()
        said = [desk.chat(key, USER, stream=stream)[1] for _ in range(2)]
        more = [*USER, {"role": "assistant", "content": "ab"}, {"role": "user", "content": "on"}]
        said.append(desk.chat(key, more, stream=stream)[1])
        rows = desk.control("GET", "/sessions/r1/rows")
    told = [json.loads(one.splitlines()[0][6:]) if stream else one for one in said]
    assert len({one["id"] for one in told}) == 3
    assert sorted(row["ids"] for row in rows["rows"]) == [[1, 2, 3, 10, 11, 40, 12, 11], [1, 2, 3, 11, 11]]
    assert rows["account"]["holds"]


@pytest.mark.parametrize(
    ("change", "status", "remark"),
    [
        ({"finish_reason": "abort"}, 502, None),
        ({"finish_reason": None}, 502, None),
        ({"token_ids": [1]}, 200, "token_ids_incomplete"),
        ({"token_ids": []}, 200, "token_ids_incomplete"),
    ],
)
def test_what_an_engine_contradicts_does_not_train(serve, change, status, remark):
    """An answer that was given up is a 502; ids that are fewer than the usage says are none."""

    def answer(_, body):
        said = _completion(prompt_token_ids=[1, 2, 3])
        said["choices"][0] |= {"token_ids": [1, 2, 3], "logprobs": {"content": [{"logprob": -0.5}] * 3}}
        said["choices"][0] |= change if "tools" in body else {}
        return 200, {"content-type": "application/json"}, json.dumps(said).encode()

    with EngineServer(answer) as server:
        desk = serve(server.url + "/v1")
        got, said, _ = desk.chat(desk.open(), USER, tools=[], h_agentcore_rl_tokens="new")
        rows = desk.control("GET", "/sessions/r1/rows")
    assert got == status
    assert rows["rows"] == []
    if remark is not None:
        assert remark in said["agentcore_rl"]["remarks"]


def test_logprobs_of_another_object_are_carried():
    """Where the choice has none, a field of that name elsewhere is the client's."""
    message = {"role": "assistant", "content": "ab", "audio": {"logprobs": {"content": [{"logprob": -1.0}]}}}
    said = _completion(choices=[{"message": message, "token_ids": [1], "finish_reason": "stop"}])
    ask = read_ask(json.dumps({"model": "m", "messages": USER}).encode(), model=None, sampling={})
    finished = read_completion(json.dumps(said).encode(), ask, str)
    assert json.loads(finished.body)["choices"][0]["message"] == message
    assert finished.logprobs is None
