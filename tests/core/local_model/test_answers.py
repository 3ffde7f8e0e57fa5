import json

import pytest

from agentcore_rl.local_model.answers import BadRequest, read_request, write_answer, write_chunks

USER = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
ASKED = {"model": "smollm2", "messages": USER}


def test_sampling_is_plain_unless_asked_otherwise():
    """llama.cpp's own top-k, top-p and min-p are switched off; a request may set each of them."""
    request = read_request(ASKED)
    assert {name: request[name] for name in ("temperature", "top_k", "top_p", "min_p")} == {
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
    }
    assert read_request(ASKED | {"temperature": 0, "top_p": None, "top_k": 5})["temperature"] == 0
    assert read_request(ASKED | {"temperature": 0, "top_p": None, "top_k": 5})["top_p"] == 1.0


def test_an_answer_has_a_bound():
    """Both of OpenAI's names for it are understood."""
    assert read_request(ASKED)["max_tokens"] == 512
    assert read_request(ASKED | {"max_tokens": 3})["max_tokens"] == 3
    assert read_request(ASKED | {"max_completion_tokens": 4, "max_tokens": 3})["max_tokens"] == 4


def test_tools_are_in_the_prompt_without_a_grammar():
    """Only `tool_choice: none` keeps llama.cpp from constraining a call; a client's none drops the tools."""
    assert read_request(ASKED | {"tools": TOOLS})["tool_choice"] == "none"
    assert "tools" not in read_request(ASKED | {"tools": TOOLS, "tool_choice": "none"})
    assert "tool_choice" not in read_request(ASKED | {"tools": []})


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"model": "gpt-4"}, 404, "smollm2 and smollm2-tools"),
        ({"model": None}, 404, "does not exist"),
        ({"model": ["smollm2"]}, 404, "does not exist"),
        ({"messages": []}, 400, "at least one message"),
        ({"messages": "hi"}, 400, "at least one message"),
        ({"messages": ["hi"]}, 400, "at least one message"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, 400, "malformed"),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, 400, "malformed"),
        ({"n": 2}, 400, "one request per answer"),
        ({"tool_choice": "required"}, 400, "auto or none"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, 400, "auto or none"),
        ({"top_logprobs": "many"}, 400, "an integer"),
    ],
)
def test_what_cannot_be_served_is_refused(change, status, says):
    """The refusal is shaped as OpenAI's, and says what is wrong."""
    with pytest.raises(BadRequest, match=says) as caught:
        read_request(ASKED | change)
    assert caught.value.status == status
    assert set(caught.value.body()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("body", [None, [], "text", 5])
def test_a_request_is_an_object(body):
    """Anything else is refused before it is looked into."""
    with pytest.raises(BadRequest, match="JSON object"):
        read_request(body)


def test_a_prompt_that_is_too_long_has_openai_s_code():
    """Frameworks look for this code to know that the context window is full."""
    raw = {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long"}}
    with pytest.raises(BadRequest, match="too long") as caught:
        write_answer(ASKED, raw, None)
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


def test_chunks_spell_the_answer():
    """A tool call comes whole, text in pieces; usage only when asked for; `[DONE]` ends it."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "words " * 10, "tool_calls": [call]}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "tool_calls",
        "logprobs": None,
        "token_ids": [1],
    }
    answer = {"id": "a", "created": 1, "model": "smollm2", "choices": [choice], "usage": {"total_tokens": 3}}
    *lines, done = list(write_chunks({"stream_options": {"include_usage": True}}, answer))
    assert done == "data: [DONE]\n\n"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert chunks[-1]["usage"] == {"total_tokens": 3}
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas) == message["content"]
    assert [delta["tool_calls"] for delta in deltas if "tool_calls" in delta] == [[{"index": 0, **call}]]
    assert chunks[-2]["choices"][0]["token_ids"] == [1]
    assert not any("usage" in line for line in write_chunks({}, answer))
