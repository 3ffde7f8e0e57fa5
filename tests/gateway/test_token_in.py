import json
import threading
import time

import pytest

from agentcore_rl_gateway.engines.llama_cpp import LlamaCpp
from agentcore_rl_gateway.engines.sglang import SGLang
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.log import CallAnswered, read_log
from agentcore_rl_gateway.past import whole_turns
from agentcore_rl_gateway.serving import GatewayServer, Options
from agentcore_rl_gateway.token_in import TokenIn
from gateway_desk import Desk
from gateway_doubles import END, ByteRenderer, EngineServer, llama_cpp, sglang, vllm

USER = [{"role": "user", "content": "Hello?"}]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
ENGINES = {
    "vllm": (vllm, VLLM),
    "sglang": (sglang, SGLang),
    "sglang incremental": (lambda sample: sglang(sample, incremental=True), SGLang),
    "llama.cpp": (llama_cpp, LlamaCpp),
}


def _mode(engine) -> TokenIn:
    return TokenIn(engine, ByteRenderer())


def _says(text: str, holes: tuple[int, ...] = (), reason: str = "stop"):
    ids = [*text.encode(), *([END] if reason == "stop" else [])]

    def sample(prompt: list[int]):
        return ids, [None if at in holes else -(at + 1) / 64 for at in range(len(ids))], reason

    return sample


@pytest.fixture(params=ENGINES)
def engine(request):
    """A fake of each engine, and what talks to it."""
    fake, client = ENGINES[request.param]
    return request.param, fake, client


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_script_gives_the_same_turns(serve, engine, stream):
    """Whatever the engine, streamed or not: its ids and logprobs are in the answer, and prompts extend."""
    _, fake, client = engine
    text = "Hello 日本 🙂, how are you today? <b>well</b>"
    with fake(_says(text)) as server:
        desk = serve(_mode(client(server.url)))
        key = desk.open()
        messages = list(USER)
        before: list[int] = []
        for _ in range(3):
            said = desk.chat(key, messages, stream=stream, h_agentcore_rl_tokens="new")[1]
            content, tokens = _read(said)
            assert content == text
            assert tokens["answer"] == [*text.encode(), END]
            assert tokens["logprobs"] == [-(at + 1) / 64 for at in range(len(text.encode()) + 1)]
            before = [*before[: tokens["prompt_keep"]], *tokens["prompt_new"], *tokens["answer"]]
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And?"}]
        asked = server.asked[-1]
        sent = asked.get("token_ids") or asked.get("input_ids") or asked.get("prompt")
        assert before[: len(sent)] == sent
        told = desk.control("GET", "/sessions/r1")["tokens"]
        assert told["sampled"] == told["kept"] == 3 * (len(text.encode()) + 1)


def _read(said):
    if not isinstance(said, str):
        return said["choices"][0]["message"]["content"], said["agentcore_rl"]
    chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
    parts = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]]
    (tokens,) = [chunk["agentcore_rl"] for chunk in chunks if "agentcore_rl" in chunk]
    return "".join(parts), tokens


def test_a_stream_comes_in_pieces(serve, engine):
    """Content is sent while the engine still samples."""
    _, fake, client = engine
    with fake(_says("word " * 40)) as server:
        desk = serve(_mode(client(server.url)))
        said = desk.chat(desk.open(), USER, stream=True)[1]
    assert sum('"content":"' in line for line in said.splitlines()) >= 2


@pytest.mark.parametrize("stream", [False, True])
def test_holes_are_never_zero(serve, engine, stream):
    """An id without a logprob is masked with the reason, or scored; what is behind it stays with its id."""
    name, fake, client = engine
    with fake(_says("ab🙂cd", holes=(2, 3, 4))) as server:
        desk = serve(_mode(client(server.url)))
        said = desk.chat(desk.open(), USER, stream=stream, h_agentcore_rl_tokens="new")[1]
        _, tokens = _read(said)
        told = desk.control("GET", "/sessions/r1")["tokens"]
    scored = [-float(one) for one in "🙂".encode()[:3]] if name == "llama.cpp" else [None] * 3
    assert tokens["logprobs"] == [-1 / 64, -2 / 64, *scored, -6 / 64, -7 / 64, -8 / 64, -9 / 64]
    holes = 0 if name == "llama.cpp" else 3
    assert tokens["masked"] == ([[2, 5, "engine_no_logprob"]] if holes else [])
    assert told["kept"] == 9 - holes


def test_no_logprobs_at_all_masks_the_answer(serve):
    """An engine without logprobs gives a turn that is whole and of which nothing trains."""
    with vllm(_says("ab", holes=(0, 1, 2))) as server:
        desk = serve(_mode(VLLM(server.url)))
        tokens = desk.chat(desk.open(), USER, h_agentcore_rl_tokens="new")[1]["agentcore_rl"]
        assert tokens["logprobs"] is None
        assert tokens["masked"] == [[0, 3, "engine_no_logprob"]]
        assert desk.control("GET", "/sessions/r1")["tokens"]["kept"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_are_parsed(serve, stream):
    """A call that the model wrote becomes a tool call with an id of ours, its arguments as sampled."""
    with vllm(_says('so <call>add {"b": 1,  "a": 2.0}</call>')) as server:
        desk = serve(_mode(VLLM(server.url)))
        client = desk.client(desk.open())
        asked = client.chat.completions.create(model="m", messages=USER, tools=TOOLS, stream=stream)
        if stream:
            deltas = [chunk.choices[0] for chunk in asked]
            (call,) = [call for one in deltas for call in one.delta.tool_calls or ()]
            reason = deltas[-1].finish_reason
        else:
            (call,), reason = asked.choices[0].message.tool_calls, asked.choices[0].finish_reason
        assert call.function.arguments == '{"b": 1,  "a": 2.0}'
        assert call.id.startswith("call_")
        assert reason == "tool_calls"


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("x <call>add {", {"tools": TOOLS}),
        ("x <call>add {}</call>", {}),
        ("x <call>add {}</call>", {"tools": TOOLS, "tool_choice": "none"}),
    ],
)
def test_what_is_no_call_is_content(serve, text, fields):
    """A call that cannot be read, or that nobody asked for, is content word for word."""
    with vllm(_says(text)) as server:
        desk = serve(_mode(VLLM(server.url)))
        said = desk.chat(desk.open(), USER, **fields)[1]["choices"][0]
        assert said["message"]["content"] == text
        assert said["finish_reason"] == "stop"
        unparsed = "tools_offered_none_parsed_total"
        counted = 1 if len(fields) == 1 else 0
        assert f"{unparsed} {counted}" in desk.send("GET", "/metrics")[1]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"tool_choice": "required", "tools": TOOLS}, "tool_choice"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"logprobs": True, "top_logprobs": 2}, "top_logprobs"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"tools": {"a": 1}}, "tools"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_by_name(serve, fields, names):
    """No parameter is ignored in silence: a 400 names it, and nothing is sampled."""
    with vllm(_says("x")) as server:
        desk = serve(_mode(VLLM(server.url)))
        status, said, _ = desk.chat(desk.open(), USER, **fields)
        assert (status, said["error"]["param"]) == (400, names)
        assert server.asked == []


def test_messages_that_cannot_be_rendered_are_a_400(serve):
    """What the template refuses is the client's fault, and said so."""
    with vllm(_says("x")) as server:
        desk = serve(_mode(VLLM(server.url)))
        key = desk.open()
        for messages in ([1], [{"content": "x"}], [{"role": "poet", "content": "x"}]):
            status, said, _ = desk.chat(key, messages)
            assert (status, said["error"]["param"]) == (400, "messages")


def test_sampling_reaches_the_engine(serve, engine):
    """Temperature, bounds, stop texts and a schema arrive as this engine spells them; the turn is marked."""
    name, fake, client = engine
    with fake(_says('{"a": 1}')) as server:
        desk = serve(_mode(client(server.url)))
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
        said = desk.chat(
            desk.open(sampling={"temperature": 0.5}),
            USER,
            temperature=0.9,
            max_tokens=99,
            seed=3,
            stop="\n\n",
            response_format=form,
            h_agentcore_rl_tokens="new",
        )[1]
    asked = server.asked[-1].get("sampling_params", server.asked[-1])
    assert asked["temperature"] == 0.5
    assert 99 in (asked.get("max_tokens"), asked.get("max_new_tokens"), asked.get("n_predict"))
    assert asked["stop"] == ["\n\n"]
    assert 3 in (asked.get("seed"), asked.get("sampling_seed"))
    remarks = said["agentcore_rl"]["remarks"]
    assert "constrained" in remarks
    assert ("logprobs_before_sampling_terms" in remarks) == (not name.startswith("sglang"))


@pytest.mark.parametrize("room", [15, 16, 17, 32])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_ends_where_the_context_does(serve, room, stream):
    """Whatever room is left, streamed in pieces or not: all that was sampled, and `length`."""
    prompt = len(ByteRenderer().prompt(USER, ()))
    with llama_cpp(_says("x" * 99, reason="length"), context=prompt + room) as server:
        desk = serve(_mode(LlamaCpp(server.url)))
        status, said, _ = desk.chat(desk.open(), USER, stream=stream)
        tokens = desk.control("GET", "/sessions/r1")["tokens"]
    assert status == 200
    if stream:
        chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    else:
        text = said["choices"][0]["message"]["content"]
    assert text == "x" * room
    assert tokens == {"sampled": room, "kept": room, "masked": {}, "partial": 0}


@pytest.mark.parametrize("before", ["", " ", "\n\n"])
def test_a_stream_with_an_unreadable_call_reads_as_it_goes_on(serve, before):
    """What was streamed of it, and what follows once the call turns out to be none, are one text."""
    text = before + "Let me compute that for you now, please. <call>add</cal"
    with vllm(_says(text)) as server:
        desk = serve(_mode(VLLM(server.url)))
        key = desk.open()
        said = desk.chat(key, USER, stream=True, tools=TOOLS)[1]
        chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
        got = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
        assert got.lstrip() == text.lstrip()
        more = [*USER, {"role": "assistant", "content": got}, {"role": "user", "content": "And?"}]
        tokens = desk.chat(key, more, tools=TOOLS, h_agentcore_rl_tokens="new")[1]["agentcore_rl"]
    assert (tokens["parent"], tokens["fork"]) == (chunks[0]["id"], None)


def test_the_end_of_a_session_counts_what_its_calls_sampled(serve):
    """A call that is under way is broken off, and DELETE's answer and the log have its ids as partial."""
    go = threading.Event()
    answer = [*b"x" * 64, END], [-0.5] * 65, "stop"
    with llama_cpp(lambda _: answer, pause=go) as server:
        desk = serve(_mode(LlamaCpp(server.url)))
        key = desk.open()
        thread = threading.Thread(target=desk.chat, args=(key, USER), kwargs={"stream": True})
        thread.start()
        while len(server.asked) < 4:
            time.sleep(0.01)
        told = desk.control("DELETE", "/sessions/r1")
        go.set()
        thread.join()
        assert told["closed"] == "revoked"
        assert told["calls"]["failed"] == 1
        assert told["tokens"] == {"sampled": 48, "kept": 0, "masked": {}, "partial": 48}
        assert "unaccounted_tokens 0" in desk.send("GET", "/metrics")[1]


def test_an_answer_that_is_gone_on_with_was_delivered(serve):
    """A client that left before the last byte and sends the answer back has it: session and rows agree."""
    with vllm(_says("yes")) as server:
        desk = serve(_mode(VLLM(server.url)))
        key = desk.open()
        desk.chat(key, USER)
        calls = desk.server.calls
        (entry,) = (entry for entry in read_log(desk.folder) if isinstance(entry, CallAnswered))
        calls._lost(calls.sessions.find("r1"), entry)
        lost = desk.control("GET", "/sessions/r1")
        assert lost["tokens"]["masked"] == {"undelivered": 4}
        more = [*USER, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "And?"}]
        desk.chat(key, more)
        told = desk.control("GET", "/sessions/r1")
        account = desk.control("GET", "/sessions/r1/rows")["account"]
    assert told["tokens"] == {"sampled": 8, "kept": 8, "masked": {}, "partial": 0}
    assert (account["trained"], account["masked"]) == (8, {})


def test_stop_texts_are_no_content(serve):
    """A stop text, and what follows it, stays in the ids and is no content."""
    with vllm(_says("Thought\nObservation:")) as server:
        desk = serve(_mode(VLLM(server.url)))
        said = desk.chat(desk.open(), USER, stop=["\nObservation:"], h_agentcore_rl_tokens="new")[1]
        assert said["choices"][0]["message"]["content"] == "Thought"
        assert bytes(said["agentcore_rl"]["answer"][:-1]) == b"Thought\nObservation:"


def test_logprobs_for_clients_are_of_their_ids(serve):
    """A client that asks for logprobs gets one entry for each id that has one."""
    with vllm(_says("ab", holes=(1,))) as server:
        desk = serve(_mode(VLLM(server.url)))
        said = desk.client(desk.open()).chat.completions.create(model="m", messages=USER, logprobs=True)
        assert [(entry.token, entry.logprob) for entry in said.choices[0].logprobs.content] == [
            ("a", -1 / 64),
            ("", -3 / 64),
        ]


@pytest.mark.parametrize("client", [VLLM, SGLang, LlamaCpp])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"choices": [{"token_ids": ["x"]}]}', b"<html>"])
def test_a_malformed_engine_is_a_502(serve, content, client):
    """What an engine should not say is a 502, a failed call, and no row."""
    with EngineServer(lambda *_: (200, {"content-type": "application/json"}, content)) as server:
        desk = serve(_mode(client(server.url)))
        status, said, _ = desk.chat(desk.open(), USER)
        assert (status, said["error"]["type"]) == (502, "server_error")
        assert desk.control("GET", "/sessions/r1")["calls"]["failed"] == 1


def test_a_prompt_that_is_too_long_is_told_as_clients_know_it(serve):
    """llama.cpp's refusal of a long prompt becomes OpenAI's `context_length_exceeded`."""
    body = {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error"}}
    with EngineServer(lambda *_: (400, {}, json.dumps(body).encode())) as server:
        desk = serve(_mode(LlamaCpp(server.url)))
        status, said, _ = desk.chat(desk.open(), USER)
        assert (status, said["error"]["code"]) == (400, "context_length_exceeded")


def test_ids_that_llama_cpp_did_not_count_are_refused(serve):
    """When llama.cpp's count differs from the ids given, the answer is a 502."""
    said = {"tokens": [97], "tokens_predicted": 2, "tokens_evaluated": 20, "stop_type": "eos"}
    with EngineServer(lambda *_: (200, {}, json.dumps(said).encode())) as server:
        desk = serve(_mode(LlamaCpp(server.url)))
        assert desk.chat(desk.open(), USER)[1]["error"]["code"] == "engine_ids_differ"


def test_what_clients_leave_out_is_counted(serve, tmp_path):
    """Once for each message, in the session, its log and the metrics; a restart knows it."""
    with vllm(_says("Well. <call>add {}</call>")) as server:
        with GatewayServer(_mode(VLLM(server.url)), Options(tmp_path / "log")) as first:
            desk = Desk(first, tmp_path / "log")
            key, messages = desk.open(), list(USER)
            for _ in range(3):
                said = desk.chat(key, messages, tools=TOOLS)[1]["choices"][0]["message"]
                result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "3"}
                messages += [{**said, "content": None}, result]
            assert desk.control("GET", "/sessions/r1")["restored"] == {"text_beside_calls": 2}
            text = desk.send("GET", "/metrics")[1]
            assert 'restored_messages_total{kind="text_beside_calls"} 2' in text
            assert len(desk.control("GET", "/sessions/r1/rows")["rows"]) == 1
        desk = serve(_mode(VLLM(server.url)), folder=tmp_path / "log")
        assert desk.control("GET", "/sessions/r1")["restored"] == {"text_beside_calls": 2}


@pytest.mark.parametrize("fields", [{}, {"tools": TOOLS}, {"tools": TOOLS, "tool_choice": "none"}])
def test_a_restart_goes_on_with_the_same_history(serve, tmp_path, fields):
    """After a restart the next turn extends the ids that were served before it, and reads back whole."""
    with vllm(_says("yes")) as server:
        with GatewayServer(_mode(VLLM(server.url)), Options(tmp_path / "log")) as first:
            desk = Desk(first, tmp_path / "log")
            key = desk.open()
            before = desk.chat(key, USER, **fields)[1]
        desk = serve(_mode(VLLM(server.url)), folder=tmp_path / "log")
        more = [*USER, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "And?"}]
        tokens = desk.chat(key, more, **fields, h_agentcore_rl_tokens="new")[1]["agentcore_rl"]
        assert tokens["parent"] == before["id"]
        sent = server.asked[-1]["token_ids"]
    turns = list(whole_turns(entry for entry in read_log(desk.folder) if isinstance(entry, CallAnswered)))
    assert json.loads(turns[1].messages) == more
    assert turns[1].prompt == b"".join(one.to_bytes(4, "little") for one in sent)
