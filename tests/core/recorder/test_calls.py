"""From bytes to what was asked and answered: the same message however the bytes are cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder import calls
from agentcore_rl.recorder.calls import Answer, AnswerReader, prepare
from agentcore_rl.rollout import Usage
from agentcore_rl.testing import Answer as Line
from agentcore_rl.testing import ToolCall
from agentcore_rl.testing.spelling import Spelling

HERE = Endpoint("http://127.0.0.1/v1")
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
SPLITS = st.lists(st.integers(1, 40), min_size=1, max_size=30)
LINES = st.builds(
    Line,
    content=st.none() | TEXTS,
    reasoning=st.none() | TEXTS,
    tool_calls=st.lists(
        st.builds(
            ToolCall,
            st.sampled_from(["add", "é_tool"]),
            st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=3) | TEXTS,
        ),
        max_size=3,
    ),
    chunks=st.integers(1, 5),
)


def read(content: bytes, sizes: list[int] | None = None, *, event_stream: bool = True) -> Answer:
    """What a reader makes of the bytes, given in chunks of these sizes over and over."""
    reader = AnswerReader(event_stream=event_stream)
    at, turn = 0, 0
    sizes = sizes or [len(content) or 1]
    while at < len(content):
        size = sizes[turn % len(sizes)]
        reader.feed(content[at : at + size])
        at, turn = at + size, turn + 1
    return reader.finish()


def message_of(answer: Answer) -> Any:
    """The answer's message, decoded."""
    return None if answer.message is None else json.loads(answer.message)


def event(*deltas: dict[str, Any], finish: str | None = None, **top: Any) -> bytes:
    """One event of a stream with one choice per delta."""
    choices = [
        {"index": n, "delta": delta, "finish_reason": finish if n == 0 else None}
        for n, delta in enumerate(deltas)
    ]
    return b"data: " + json.dumps({"id": "c1", "choices": choices, **top}).encode() + b"\n\n"


@given(
    line=LINES,
    sizes=SPLITS,
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    comments=st.booleans(),
    multiline=st.booleans(),
    done=st.booleans(),
    engine=st.sampled_from(["vllm", "llama.cpp"]),
)
def test_a_stream_spells_the_same_answer_however_it_is_cut(
    line: Line, sizes: list[int], newline: str, comments: bool, multiline: bool, done: bool, engine: Any
):
    """Any chunking, any line ends, comments and data over several lines: message, usage and ids are equal."""
    request: dict[str, Any] = {
        "messages": [{"role": "user", "content": "q"}],
        "logprobs": True,
        "return_token_ids": True,
        "stream_options": {"include_usage": True},
    }
    spelling = Spelling(line, request, engine, "m", "seat")
    whole = spelling.whole()
    text = ""
    for chunk in spelling.chunks():
        body = json.dumps(chunk, ensure_ascii=False, indent=1 if multiline else None)
        text += (f": ping{newline}" if comments else "") + f"event: message{newline}"
        text += "".join(f"data:{part}{newline}" for part in body.split("\n")) + newline
    if done:
        text += f"data: [DONE]{newline}{newline}"
    streamed = read(text.encode(), sizes)
    plain = read(json.dumps(whole, ensure_ascii=False).encode(), event_stream=False)

    assert plain.remarks == streamed.remarks == []
    assert plain.complete
    assert streamed.complete
    assert message_of(plain) == whole["choices"][0]["message"]
    expected = dict(message_of(plain))
    for key in ("reasoning_content", "content"):  # a stream has no delta for an empty text
        if expected.get(key) == "" and key not in message_of(streamed):
            del expected[key]
    assert message_of(streamed) == expected
    assert streamed.finish_reason == plain.finish_reason
    assert streamed.response_id == plain.response_id
    assert (
        streamed.usage
        == plain.usage
        == Usage(whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"])
    )
    assert streamed.answer_ids == plain.answer_ids
    assert streamed.logprobs == plain.logprobs
    assert streamed.prompt_ids == plain.prompt_ids
    if engine == "vllm":
        assert list(plain.answer_ids or ()) == whole["choices"][0]["token_ids"]


@given(st.binary(max_size=300), SPLITS, st.booleans())
def test_any_bytes_are_read_without_an_error(content: bytes, sizes: list[int], event_stream: bool):
    """Whatever a server sends, reading along never raises."""
    for prefix in (b"", b"data: ", b'data: {"choices":[{"delta":'):
        read(prefix + content, sizes, event_stream=event_stream)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["id", "choices", "delta", "message", "usage", "logprobs", "content", "token_ids"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_without_an_error(value: Any):
    """Fields of odd types cost themselves, never an exception."""
    text = json.dumps(value).encode()
    read(text, event_stream=False)
    read(b"data: " + text + b"\n\ndata: [DONE]\n\n")
    body = {"choices": [value], "usage": value, "id": value, "prompt_token_ids": value}
    read(json.dumps(body).encode(), event_stream=False)
    choice = {"delta": value, "logprobs": value, "token_ids": value, "finish_reason": value}
    read(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")


@pytest.mark.parametrize(
    ("content", "event_stream", "remark"),
    [
        (b"", False, "malformed_answer"),
        (b"not json", False, "malformed_answer"),
        (b"{}", False, "malformed_answer"),
        (b'{"choices": []}', False, "malformed_answer"),
        (b'{"choices": null}', False, "malformed_answer"),
        (b"[" * 5000, False, "malformed_answer"),
        (b"data: {broken\n\n", True, "malformed_answer"),
        (b'data: {"error": {"message": "out of memory"}}\n\n', True, "error_in_stream"),
        (event({"content": "a"}, {"content": "b"}, finish="stop"), True, "several_choices"),
        (
            b'{"choices": [{"message": {"role": "assistant", "content": "\\ud800"}}]}',
            False,
            "repaired_answer",
        ),
        (b'{"choices": [{"message": {"content": "\xff"}}]}', False, "repaired_answer"),
    ],
)
def test_odd_answers_leave_a_remark(content: bytes, event_stream: bool, remark: str):
    """What cannot be read as it should is said."""
    assert remark in read(content, event_stream=event_stream).remarks


def test_what_the_sdk_reads_is_read():
    """NaN, a null index, ids that are numbers: the SDK takes them, so the answer is in the record."""
    body = b'{"id": 7, "choices": [{"index": null, "finish_reason": "stop", "logprobs": {"content": '
    body += b'[{"id": 1, "logprob": NaN}]}, "message": {"role": "assistant", "content": "x"}}], "usage": []}'
    answer = read(body, event_stream=False)
    assert message_of(answer) == {"role": "assistant", "content": "x"}
    assert answer.complete
    assert list(answer.answer_ids or ()) == [1]
    assert answer.logprobs is None
    assert answer.remarks == ["repaired_answer"]


def test_the_last_usage_counts():
    """With usage on each chunk the totals are those of the last."""
    stream = event({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1})
    stream += event({"content": "b"}, usage={"prompt_tokens": 3, "completion_tokens": 2})
    stream += event({}, finish="stop", usage=None)
    assert read(stream).usage == Usage(3, 2)


def test_usage_counts_only_whole_numbers():
    """A usage of another type is unknown, not zero."""
    body = {"choices": [{"message": {}}], "usage": {"prompt_tokens": True, "completion_tokens": "9"}}
    assert read(json.dumps(body).encode(), event_stream=False).usage == Usage(None, None)


def test_an_unterminated_stream_is_not_complete():
    """Without a finish reason and `[DONE]` a stream is cut; either of them completes it."""
    cut = event({"role": "assistant"}) + event({"content": "a"})
    assert not read(cut).complete
    assert read(cut + event({}, finish="length")).complete
    assert read(cut + b"data: [DONE]\n\n").complete
    assert message_of(read(cut)) == {"role": "assistant", "content": "a"}


def test_calls_are_put_together_by_index():
    """Deltas of several calls may come mixed; those without an index are whole; the old form goes on too."""
    stream = event({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}]})
    stream += event({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x'}}]})
    stream += event({"tool_calls": [{"index": 1, "id": None, "function": {"arguments": "{}"}}]})
    stream += event({"tool_calls": [{"index": 0, "function": {"arguments": '": 1}'}}]})
    assert message_of(read(stream))["tool_calls"] == [
        {"id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]
    loose = event({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}) * 2
    assert len(message_of(read(loose))["tool_calls"]) == 2
    old = event({"function_call": {"name": "f", "arguments": "{"}}) + event(
        {"function_call": {"arguments": "}"}}
    )
    assert message_of(read(old))["function_call"] == {"name": "f", "arguments": "{}"}
    odd = event({"tool_calls": [{"index": 0, "function": "f"}]})
    odd += event({"tool_calls": [{"index": 0, "function": {"name": "g"}}]})
    assert message_of(read(odd))["tool_calls"] == [{"function": {"name": "g"}}]
    listed = event({"reasoning_details": [{"text": "a"}]}) + event({"reasoning_details": [{"text": "b"}]})
    assert message_of(read(listed))["reasoning_details"] == [{"text": "a"}, {"text": "b"}]


@pytest.mark.parametrize(
    ("entries", "ids", "completion_tokens", "expected", "remark"),
    [
        ([(1, -0.5), (2, -1.0)], None, 2, ([1, 2], [-0.5, -1.0]), None),
        ([(1, -0.5), (2, -1.0)], None, 3, ([1, 2], [-0.5, -1.0]), None),
        ([(1, -0.5), (2, -1.0)], None, 5, (None, None), "token_ids_incomplete"),
        ([(None, -0.5)], None, 1, (None, None), None),
        ([(None, -0.5)], [7], 1, ([7], [-0.5]), None),
        ([(None, -0.5)], [7, 8], 2, ([7, 8], None), None),
        ([(None, None)], [7], 1, ([7], None), None),
        ([], [7, 8], 2, ([7, 8], None), None),
        ([(None, -0.5)], [-1], 1, (None, None), "token_ids_unreadable"),
        ([(None, -0.5)], ["x"], 1, (None, None), "token_ids_unreadable"),
        ([(None, -0.5)], [2**33], 1, (None, None), "token_ids_unreadable"),
    ],
)
def test_token_ids_are_taken_only_when_they_are_all_there(
    entries: list[Any], ids: Any, completion_tokens: int, expected: tuple[Any, Any], remark: str | None
):
    """Ids come from vLLM's or llama.cpp's place; what does not add up is left out and said."""
    content = [{"logprob": logprob, **({} if n is None else {"id": n})} for n, logprob in entries]
    choice: dict[str, Any] = {"message": {"role": "assistant"}, "logprobs": {"content": content}}
    if ids is not None:
        choice["token_ids"] = ids
    body = {"choices": [choice], "usage": {"completion_tokens": completion_tokens}}
    answer = read(json.dumps(body).encode(), event_stream=False)
    found = (
        None if answer.answer_ids is None else list(answer.answer_ids),
        None if answer.logprobs is None else list(answer.logprobs),
    )
    assert found == expected
    assert answer.remarks == ([remark] if remark else [])


def test_an_answer_above_the_limit_is_not_kept():
    """Bytes behind the limit are counted, and nothing is held."""
    for event_stream in (False, True):
        reader = AnswerReader(event_stream=event_stream)
        for _ in range(calls.LARGEST_ANSWER // 2**20 + 2):
            reader.feed(b"x" * 2**20)
        assert len(reader._body) + len(reader._line) <= 2**20
        answer = reader.finish()
        assert answer.remarks == ["answer_too_large"]
        assert answer.message is None


BODIES = st.fixed_dictionaries(
    {"messages": st.lists(st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=4)},
    optional={
        "model": TEXTS,
        "temperature": st.floats(0, 2),
        "max_tokens": st.integers(1, 100),
        "stream": st.booleans(),
        "tools": st.none() | st.lists(st.dictionaries(TEXTS, TEXTS, max_size=2), max_size=2),
        "seed": st.none() | st.integers(),
    },
)


@given(BODIES, st.booleans(), st.sampled_from(["", "real"]), st.booleans())
def test_what_is_prepared_is_what_is_recorded(body: dict[str, Any], ascii_only: bool, model: str, wins: bool):
    """Messages, tools, model and sampling, put together again, are the JSON of the body that is sent."""
    endpoint = Endpoint("http://x/v1", model, sampling={"temperature": 0.25} if wins else {})
    sent = json.dumps(body, ensure_ascii=ascii_only).encode()
    ask = prepare(sent, endpoint)
    assert ask is not None
    again: dict[str, Any] = {**ask.sampling, "messages": [json.loads(raw) for raw in ask.messages]}
    if ask.model is not None:
        again["model"] = ask.model
    if "tools" in body:
        again["tools"] = None if ask.tools is None else json.loads(ask.tools)
    assert again == json.loads(ask.body)
    assert json.loads(ask.body)["messages"] == body["messages"]
    assert ask.streamed is (body.get("stream") is True)
    if not model and not wins:
        assert ask.body == sent
        assert ask.asked == {}


def test_the_alias_is_nobodys_wish():
    """That a model was built with our alias is no difference worth a word."""
    ask = prepare(b'{"model": "policy", "messages": []}', Endpoint("http://x/v1", "real"))
    assert ask is not None
    assert ask.model == "real"
    assert ask.asked == {}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b"null", b'{"messages": 1}', b"{broken", b'{"messages": [NaN]}', b"\xff"),
        *(b"[" * 5000, b'{"messages": [], "model": "\xff"}'),
    ],
)
def test_what_is_no_request_is_left_alone(body: bytes):
    """A body that is no chat completions request is not touched and not recorded."""
    assert prepare(body, HERE) is None
