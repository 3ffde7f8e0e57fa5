"""ScriptedModel as the openai SDK meets it, and how strict it is about its script."""

import asyncio
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import openai
import pytest

from agentcore_rl.testing import (
    Answer,
    CutBody,
    CutStream,
    Drop,
    Line,
    Raw,
    ScriptedModel,
    ScriptError,
    ServedCall,
    Stall,
    Status,
    StreamStyle,
    Timeout,
    ToolCall,
)

QUESTION: list[Any] = [{"role": "user", "content": "q"}]


def ask(model: ScriptedModel, messages: list[Any] = QUESTION, *, timeout: float = 5, **kwargs: Any) -> Any:
    """Asks once through the SDK, without retries; a stream is returned as a list of chunks."""
    with openai.OpenAI(base_url=model.base_url, api_key="k", max_retries=0, timeout=timeout) as client:
        answer = client.chat.completions.create(model="m", messages=messages, **kwargs)
        return list(answer) if kwargs.get("stream") else answer


def spelled(chunks: list[Any]) -> dict[str, Any]:
    """Puts a stream's deltas together."""
    whole: dict[str, Any] = {
        "content": "",
        "reasoning": "",
        "calls": {},
        "finish": None,
        "ids": [],
        "usage": None,
    }
    for chunk in chunks:
        whole["usage"] = chunk.usage or whole["usage"]
        for choice in chunk.choices:
            delta = choice.delta
            whole["content"] += delta.content or ""
            whole["reasoning"] += getattr(delta, "reasoning_content", None) or ""
            whole["finish"] = choice.finish_reason or whole["finish"]
            whole["ids"] += getattr(choice, "token_ids", None) or []
            for call in delta.tool_calls or []:
                known = whole["calls"].setdefault(call.index, [call.id, call.function.name, ""])
                known[2] += call.function.arguments
    return whole


@pytest.fixture
def weather() -> Answer:
    """An answer that has everything."""
    return Answer(
        "Zürich: 雨 🌧️",
        tool_calls=[ToolCall("weather", {"city": "Zürich"}), ToolCall("time", "{broken", id="")],
        reasoning="where was it?",
    )


def test_a_whole_answer_reaches_the_sdk(weather: Answer) -> None:
    """Content, reasoning, calls, finish reason and usage come through as the script says."""
    with ScriptedModel([weather]) as model:
        answer = ask(model)
    choice = answer.choices[0]
    first, second = choice.message.tool_calls
    assert choice.message.content == "Zürich: 雨 🌧️"
    assert choice.message.reasoning_content == "where was it?"
    assert (first.function.name, json.loads(first.function.arguments)) == ("weather", {"city": "Zürich"})
    assert first.id.startswith("call_")
    assert (second.id, second.function.arguments) == ("", "{broken")
    assert choice.finish_reason == "tool_calls"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.model == "m"


@pytest.mark.parametrize(
    "style",
    [
        StreamStyle(),
        StreamStyle(newline="\r\n", comments=True),
        StreamStyle(newline="\r"),
        StreamStyle(piece_bytes=1),
        StreamStyle(piece_bytes=7, comments=True),
        StreamStyle(usage_each_chunk=True),
    ],
    ids=repr,
)
def test_a_stream_spells_what_the_whole_answer_says(weather: Answer, style: StreamStyle) -> None:
    """In every style the deltas put together are the answer that is not streamed, ids included."""
    more: Any = {"extra_body": {"return_token_ids": True}}
    with ScriptedModel([weather]) as model:
        whole = ask(model, **more)
    with ScriptedModel([replace(weather, style=style)]) as model:
        chunks = ask(model, stream=True, stream_options={"include_usage": True}, **more)
    stream, message = spelled(chunks), whole.choices[0].message
    assert (stream["content"], stream["reasoning"]) == (message.content, message.reasoning_content)
    assert list(stream["calls"].values()) == [
        [call.id, call.function.name, call.function.arguments] for call in message.tool_calls
    ]
    assert stream["finish"] == whole.choices[0].finish_reason
    assert stream["ids"] == whole.choices[0].token_ids
    assert chunks[0].prompt_token_ids == whole.prompt_token_ids
    assert stream["usage"] == whole.usage
    assert chunks[0].id == whole.id
    assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) > 1


async def test_the_async_sdk_is_served_too() -> None:
    """The asynchronous client gets answers and streams, one hundred at once."""
    lines: list[Line] = [Answer("hello")] * 100
    with ScriptedModel(lines) as model:
        async with openai.AsyncOpenAI(base_url=model.base_url, api_key="k", max_retries=0) as client:

            async def one(number: int) -> str:
                if number % 2:
                    answer = await client.chat.completions.create(model="m", messages=QUESTION)
                    return answer.choices[0].message.content or ""
                stream = await client.chat.completions.create(model="m", messages=QUESTION, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            assert await asyncio.gather(*map(one, range(100))) == ["hello"] * 100
        assert sum(call.streamed for call in model.calls) == 50


def test_tokens_come_as_vllm_gives_them() -> None:
    """Ids and logprobs of the script are given when they are asked for, and only then."""
    line = Answer("ab", token_ids=[7, 8, 9], prompt_token_ids=[1, 2], logprobs=[-0.5, -0.25, 0.0])
    with ScriptedModel([line, line, line]) as model:
        plain = ask(model)
        full = ask(
            model, logprobs=True, extra_body={"return_token_ids": True, "return_tokens_as_token_ids": True}
        )
        stream = ask(model, stream=True, logprobs=True, extra_body={"return_token_ids": True})
    assert plain.choices[0].logprobs is None
    assert not hasattr(plain, "prompt_token_ids")
    assert (full.prompt_token_ids, full.choices[0].token_ids) == ([1, 2], [7, 8, 9])
    assert [entry.logprob for entry in full.choices[0].logprobs.content] == [-0.5, -0.25, 0.0]
    assert full.choices[0].logprobs.content[0].token == "token_id:7"
    assert (full.usage.prompt_tokens, full.usage.completion_tokens) == (2, 3)
    given = [chunk.choices[0] for chunk in stream]
    assert [number for choice in given for number in getattr(choice, "token_ids", [])] == [7, 8, 9]
    assert [e.logprob for choice in given if choice.logprobs for e in choice.logprobs.content] == [
        -0.5,
        -0.25,
        0.0,
    ]


def test_tokens_come_as_llama_cpp_gives_them() -> None:
    """There ids stand in the logprobs; the engine "openai" gives none."""
    more: dict[str, Any] = {"logprobs": True, "extra_body": {"return_token_ids": True}}
    with ScriptedModel([Answer("ab")], engine="llama.cpp") as model:
        llama = ask(model, **more)
    with ScriptedModel([Answer("ab")], engine="openai") as model:
        hosted = ask(model, **more)
    assert [entry.id for entry in llama.choices[0].logprobs.content] == [97, 98, 257]
    assert not hasattr(llama.choices[0], "token_ids")
    assert not hasattr(hosted.choices[0].logprobs.content[0], "id")


def test_the_same_script_gives_the_same_bytes() -> None:
    """Minted ids are unique within a server and the same each time it is played."""
    lines = [Answer(tool_calls=[ToolCall("a"), ToolCall("b")]), Answer(tool_calls=[ToolCall("a")])]
    played = []
    for _ in range(2):
        with ScriptedModel(lines) as model:
            answers = [ask(model), ask(model)]
        played.append([call.response_bytes for call in model.calls])
    ids = [call.id for answer in answers for call in answer.choices[0].message.tool_calls]
    assert len({*ids}) == 3
    assert played[0] == played[1]


def test_answers_can_be_bent() -> None:
    """Usage left out, finish reason, extra fields and headers are the script's to say."""
    line = Answer(
        "a",
        usage={},
        finish_reason="length",
        extra={"policy_version": 3},
        message_extra={"refusal": "no"},
        headers={"X-Served-By": "me"},
    )
    with ScriptedModel([line, line]) as model:
        whole, stream = ask(model), ask(model, stream=True)
        assert b"x-served-by: me\r\n" in model.calls[1].response_bytes
    assert (whole.usage, whole.policy_version, whole.choices[0].finish_reason) == (None, 3, "length")
    assert whole.choices[0].message.refusal == stream[0].choices[0].delta.refusal == "no"
    assert {chunk.policy_version for chunk in stream} == {3}


@pytest.mark.parametrize(
    ("omit", "call"),
    [
        (["id"], {"type": "function", "function": {"name": "f", "arguments": "{}"}}),
        (["type"], {"id": "1", "function": {"name": "f", "arguments": "{}"}}),
        (["name", "arguments"], {"id": "1", "type": "function", "function": {}}),
    ],
)
def test_a_tool_call_can_lack_keys(omit: list[str], call: dict[str, Any]) -> None:
    """What a malformed call omits is missing in both spellings."""
    with ScriptedModel([Answer(tool_calls=[ToolCall("f", id="1", omit=omit)])] * 2) as model:
        ask(model)
        ask(model, stream=True)
        whole, stream = model.calls
    assert json.loads(whole.response_body)["choices"][0]["message"]["tool_calls"] == [call]
    second = json.loads(stream.response_body.split(b"\n\n")[1].removeprefix(b"data: "))
    begun = second["choices"][0]["delta"]["tool_calls"][0]
    assert begun.keys() - {"index"} == call.keys()
    assert begun["function"].keys() == call["function"].keys()


ERRORS: list[tuple[Line, type[Exception]]] = [
    (Status(429, retry_after=0.5), openai.RateLimitError),
    (Status(500), openai.InternalServerError),
    (Status(503, body=b"busy", headers={"Content-Type": "text/plain"}), openai.InternalServerError),
    (Status(400, code="context_length_exceeded"), openai.BadRequestError),
    (Drop(), openai.APIConnectionError),
    (Drop(reset=True), openai.APIConnectionError),
    (CutBody(Answer("hello"), after_bytes=20), openai.APIConnectionError),
    (CutStream(Answer("hello")), openai.APIConnectionError),
    (Stall(5), openai.APITimeoutError),
    (Timeout(5), openai.APITimeoutError),
    (Raw(body=b'{"choices": ['), json.JSONDecodeError),
]


@pytest.mark.parametrize(
    ("line", "error"), ERRORS, ids=lambda value: getattr(value, "__name__", repr(value)[:40])
)
def test_a_fault_reaches_the_sdk_and_the_next_line_answers(line: Line, error: type[Exception]) -> None:
    """Each fault is the error that the SDK has for it, and stands for one request alone."""
    with ScriptedModel([line, Answer("better")]) as model:
        with pytest.raises(error):
            ask(model, timeout=0.3)
        assert ask(model).choices[0].message.content == "better"
        model.settle()
        assert model.calls[0].client_left is isinstance(line, Stall | Timeout)


def test_the_sdks_own_retries_read_lines_too() -> None:
    """Each HTTP request consumes one line."""
    with (
        ScriptedModel([Status(500, headers={"retry-after-ms": "1"}), Drop(), Answer("third")]) as model,
        openai.OpenAI(base_url=model.base_url, api_key="k", max_retries=2) as client,
    ):
        answer = client.chat.completions.create(model="m", messages=QUESTION)
    assert answer.choices[0].message.content == "third"
    assert [call.status for call in model.calls] == [500, None, 200]


def test_unread_lines_fail_the_block() -> None:
    """Leaving the block raises when a line was not read."""

    def play() -> None:
        with ScriptedModel([Answer("a"), Answer("b")]) as model:
            ask(model)
            assert model.unread == (Answer("b"),)

    with pytest.raises(
        ScriptError, match=r"2 lines and 1 were not read; next would have been Answer\(content='b'"
    ):
        play()


def test_a_call_beyond_the_end_fails_the_block() -> None:
    """It is told so with a 400, and the block raises even if the agent swallows that."""

    def play() -> None:
        with ScriptedModel([Answer("a")]) as model:
            ask(model)
            with pytest.raises(openai.BadRequestError, match="script exhausted") as caught:
                ask(model)
            assert caught.value.code == "script_violation"
            assert model.calls[1].violation == "script exhausted: all 1 lines were read before this request"

    with pytest.raises(ScriptError, match="script exhausted"):
        play()


def test_the_blocks_own_error_is_not_hidden() -> None:
    """An error inside the block stays, with the script's complaint as a note."""
    with pytest.raises(KeyError) as caught, ScriptedModel([Answer("a")]):
        raise KeyError("mine")
    assert "1 were not read" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("expect", "complaint"),
    [
        ({"temperature": 0.5}, r"request\['temperature'\] is 1, expected 0.5"),
        ({"stream_options": {"include_usage": True}}, "request has no 'stream_options'"),
        (lambda request: len(request["messages"]) == 2, "expect returned False"),
        (lambda request: request["nothing"], "expect raised KeyError"),
    ],
)
def test_a_request_that_is_not_expected_fails_the_block(expect: Any, complaint: str) -> None:
    """What the line expects of the request is checked, and said."""
    model = ScriptedModel([Answer("a", expect=expect)]).start()
    with pytest.raises(openai.BadRequestError):
        ask(model, temperature=1)
    model.stop()
    with pytest.raises(ScriptError, match=complaint):
        model.assert_finished()


def test_a_request_that_is_expected_is_answered() -> None:
    """A mapping names a part of the request; a function may return nothing."""
    lines = [Answer(expect={"model": "m", "messages": QUESTION}), Answer(expect=lambda request: None)]
    with ScriptedModel(lines) as model:
        ask(model)
        ask(model)


def test_conversations_are_played_side_by_side() -> None:
    """Concurrent agents get their own lines, by the marker in their messages."""
    script = {f"c{n}": [Answer(f"{n}/{turn}") for turn in range(3)] for n in range(20)}

    def agent(number: int) -> list[str]:
        opening = [
            {"role": "system", "content": [{"type": "text", "text": f"[[conversation:c{number}]] be good"}]}
        ]
        return [ask(model, opening + QUESTION).choices[0].message.content for _ in range(3)]

    with ScriptedModel(script) as model, ThreadPoolExecutor(20) as pool:
        told = list(pool.map(agent, range(20)))
        assert {call.conversation for call in model.calls} == set(script)
    assert told == [[f"{n}/{turn}" for turn in range(3)] for n in range(20)]


def test_a_key_of_ones_own_tells_conversations_apart() -> None:
    """The key sees headers and body; a conversation that the script lacks is a violation."""
    model = ScriptedModel({"a": [Answer("A")]}, key=lambda call: call.header("X-Agent")).start()
    assert ask(model, extra_headers={"x-agent": "a"}).choices[0].message.content == "A"
    with pytest.raises(openai.BadRequestError):
        ask(model, extra_headers={"x-agent": "b"})
    model.stop()
    with pytest.raises(ScriptError, match=r"conversation 'b'.*none of the script's 1"):
        model.assert_finished()


def test_a_function_can_be_the_script() -> None:
    """It is given the call and returns the line; what it raises is a violation."""

    def echo(call: ServedCall) -> Line:
        assert call.json is not None
        assert call.json["messages"][0]["content"] != "bad", "bad was not foreseen"
        return Answer(call.json["messages"][0]["content"].upper())

    model = ScriptedModel(echo).start()
    assert ask(model).choices[0].message.content == "Q"
    with pytest.raises(openai.BadRequestError):
        ask(model, [{"role": "user", "content": "bad"}])
    model.stop()
    with pytest.raises(ScriptError, match="bad was not foreseen"):
        model.assert_finished()


def test_slow_functions_do_not_hold_up_each_other() -> None:
    """A script's function runs in a thread of its own."""
    together = threading.Barrier(4)

    def slow(call: ServedCall) -> Line:
        together.wait(30)
        return Answer("late")

    with ScriptedModel(slow) as model, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ask(model), range(4)))
    assert not together.broken


@pytest.mark.parametrize(
    ("messages", "more", "complaint"),
    [
        ([], {}, "messages is not a list with at least one message"),
        ([{"role": "robot", "content": "x"}], {}, "has the role 'robot'"),
        (QUESTION, {"n": 2}, "n is 2"),
        (QUESTION, {"extra_body": {"stream": "yes"}}, "stream is 'yes'"),
    ],
)
def test_a_request_that_is_no_chat_completion_is_a_violation(
    messages: Any, more: Any, complaint: str
) -> None:
    """It gets a 400 and reads no line."""
    model = ScriptedModel([Answer("a")]).start()
    with pytest.raises(openai.BadRequestError) as caught:
        ask(model, messages, **more)
    assert caught.value.code == "script_violation"
    model.stop()
    assert complaint in model.violations[0]
    assert len(model.unread) == 1


def test_models_are_listed_and_other_paths_are_not_found() -> None:
    """Both are in the log; neither reads a line nor breaks the script."""
    with ScriptedModel([], model_id="tiny") as model:
        with openai.OpenAI(base_url=model.base_url, api_key="k") as client:
            assert [listed.id for listed in client.models.list()] == [model.model_id] == ["tiny"]
            with pytest.raises(openai.NotFoundError, match="no POST /v1/embeddings"):
                client.embeddings.create(model="m", input="x")
        assert [call.path for call in model.calls] == ["/v1/models", "/v1/embeddings"]


def test_the_log_is_complete_when_the_client_has_its_answer() -> None:
    """No wait is needed between the answer and a look into the log, streamed or not."""
    with ScriptedModel(lambda call: Answer("hello " * 20)) as model:
        for number in range(200):
            ask_raw(model, stream=bool(number % 2))
            call = model.calls[-1]
            assert call.ended is not None
            assert call.ended >= call.started
            assert call.response_body.endswith(b"data: [DONE]\n\n" if number % 2 else b"}")
        assert len(model.take_calls()) == 200
        assert model.calls == ()


def ask_raw(model: ScriptedModel, **body: Any) -> bytes:
    """Asks without the SDK, which is slower by far."""
    port = int(model.base_url.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("POST", "/v1/chat/completions", json.dumps({"messages": QUESTION, **body}))
    answer = connection.getresponse().read()
    connection.close()
    return answer


def test_a_client_that_leaves_a_slow_stream_is_noticed() -> None:
    """The log holds what was sent until then, and the server does not go on."""
    line = Answer("a b c d", chunk_delay_s=0.05, chunks=("a ", "b ", "c ", "d"))
    with ScriptedModel([line]) as model:
        with (
            openai.OpenAI(base_url=model.base_url, api_key="k", max_retries=0) as client,
            client.chat.completions.create(model="m", messages=QUESTION, stream=True) as stream,
        ):
            next(iter(stream))
        model.settle()
        call = model.calls[0]
    assert call.client_left
    assert b"[DONE]" not in call.response_body


def test_stopping_breaks_off_what_is_under_way() -> None:
    """A silence of a minute does not hold up the end of a test."""
    model = ScriptedModel([Timeout(60)]).start()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, model, timeout=20)
        while not model.calls:
            time.sleep(0.01)
        with pytest.raises(TimeoutError, match="1 calls are still under way"):
            model.settle(0.05)
        begun = time.monotonic()
        model.stop()
        assert time.monotonic() - begun < 15
        assert isinstance(asking.exception(timeout=5), openai.APIConnectionError)
    model.stop()
    with pytest.raises(RuntimeError, match="make a new one"):
        model.start()


def test_a_script_of_something_else_is_refused() -> None:
    """A mistake in the script is told when it is written, not when it is played."""
    with pytest.raises(TypeError, match="a script is made of Answer"):
        ScriptedModel(["hello"])  # type: ignore[list-item]
    with pytest.raises(RuntimeError, match="not started"):
        _ = ScriptedModel([]).base_url


def test_the_model_costs_no_framework() -> None:
    """Importing the package loads nothing of ours; importing the model no HTTP client, no web framework."""
    code = (
        "import sys, agentcore_rl.testing as t; assert 'agentcore_rl.testing.script' not in sys.modules; "
        "t.ScriptedModel; heavy = {'httpx', 'httpx2', 'starlette', 'pydantic', 'openai', 'boto3'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], timeout=20, check=True)


@pytest.fixture(autouse=True)
def _no_server_is_left() -> Iterator[None]:
    """Each test stops its servers' threads."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left if thread.name.startswith("scripted-model-")] == []
