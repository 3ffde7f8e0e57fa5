"""What stands between an OpenAI client and llama.cpp: requests in, answers and chunks out. No I/O."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from agentcore_rl.local_model.engine import MODELS
from agentcore_rl.local_model.tool_calls import read_calls, write_calls

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "PLAIN_SAMPLING",
    "BadRequest",
    "read_request",
    "write_answer",
    "write_chunks",
]

PLAIN_SAMPLING: Mapping[str, float] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""What is sampled from unless the request says otherwise: the model's own distribution."""

DEFAULT_MAX_TOKENS = 512
"""Tokens of an answer when the request names no bound; a small model may not end by itself."""

_OURS = {
    "model",
    "stream",
    "stream_options",
    "return_token_ids",
    "logprobs",
    "top_logprobs",
    "tool_choice",
    "n",
}


class BadRequest(Exception):
    """A request that cannot be served.

    Attributes:
        status: HTTP status.
        code: OpenAI's name for what is wrong, or None.
        param: The field of the request, or None.
    """

    def __init__(
        self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param

    def body(self) -> dict[str, Any]:
        """The error as OpenAI clients read it."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def read_request(body: Any) -> dict[str, Any]:
    """The request for llama.cpp that an OpenAI request stands for.

    Tools stay in the prompt; llama.cpp is told not to look for calls, since it would sample them under a
    grammar.

    Raises:
        BadRequest: 404 for an unknown model, 400 for what cannot be served.
    """
    if not isinstance(body, dict):
        raise BadRequest("The request must be a JSON object.")
    if not isinstance(body.get("model"), str) or body["model"] not in MODELS:
        raise BadRequest(
            f"The model {body.get('model')!r} does not exist: this server has {' and '.join(MODELS)}.",
            status=404,
            code="model_not_found",
            param="model",
        )
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise BadRequest("`messages` must be a list of at least one message.", param="messages")
    if body.get("n") not in (None, 1):
        raise BadRequest("`n` must be 1: send one request per answer.", param="n")
    if not isinstance(body.get("top_logprobs") or 0, int):
        raise BadRequest("`top_logprobs` must be an integer.", param="top_logprobs")
    if body.get("tool_choice") not in (None, "auto", "none"):
        raise BadRequest(
            "`tool_choice` must be auto or none: the local model cannot be made to call a tool.",
            param="tool_choice",
        )
    request = {name: value for name, value in body.items() if name not in _OURS and value is not None}
    for name, value in PLAIN_SAMPLING.items():
        request.setdefault(name, value)
    limit = request.pop("max_completion_tokens", None) or request.pop("max_tokens", None)
    request["max_tokens"] = DEFAULT_MAX_TOKENS if limit is None else limit
    try:
        request["messages"] = [_message(message) for message in messages]
    except (KeyError, TypeError, AttributeError):
        raise BadRequest("A message's content or tool calls are malformed.", param="messages") from None
    if _may_call(body):
        request["tool_choice"] = "none"
    else:
        request.pop("tools", None)
    if body.get("logprobs"):
        request |= {"logprobs": True, "top_logprobs": max(body.get("top_logprobs") or 0, 1)}
    return request | {"verbose": True, "return_tokens": True}


def _may_call(body: Mapping[str, Any]) -> bool:
    return bool(body.get("tools")) and body.get("tool_choice") != "none"


def _message(message: dict[str, Any]) -> dict[str, Any]:
    if message.get("role") == "developer":
        return message | {"role": "system"}
    if message.get("role") != "assistant":
        return message
    return {"role": "assistant", "content": write_calls(message)}


def write_answer(
    body: Mapping[str, Any], raw: Mapping[str, Any], prompt_ids: list[int] | None
) -> dict[str, Any]:
    """llama.cpp's answer as the client gets it.

    Args:
        body: The client's request.
        raw: llama.cpp's answer to `read_request(body)`.
        prompt_ids: Ids of the prompt, where the request asks for ids.

    Returns:
        A chat completion. With `return_token_ids` it has `prompt_token_ids`, and `token_ids` in its choice
        (as vLLM names them): every id that was sampled, the end token included.
        With `logprobs`, `logprobs.content` has llama.cpp's `id` in each entry. llama.cpp gives no entry for
        an id that leaves a character unfinished, so the entries' ids are a subsequence of `token_ids`: join
        by id in order, not by position.

    Raises:
        BadRequest: llama.cpp refused the request.
    """
    if "error" in raw:
        error = raw["error"]
        kind = error.get("type")
        code = "context_length_exceeded" if kind == "exceed_context_size_error" else kind
        raise BadRequest(str(error.get("message")), status=int(error.get("code", 500)), code=code)
    whole, choice = raw["__verbose"], raw["choices"][0]
    content, calls = read_calls(whole["content"]) if _may_call(body) else (whole["content"], [])
    message: dict[str, Any] = {"role": "assistant", "content": content}
    reason = choice["finish_reason"]
    if calls:
        message["tool_calls"] = calls
        reason = "tool_calls" if reason == "stop" else reason
    answered: dict[str, Any] = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    answer: dict[str, Any] = {
        "id": raw["id"],
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [answered],
        "usage": raw["usage"],
    }
    if body.get("logprobs"):
        top = body.get("top_logprobs") or 0
        entries = choice.get("logprobs", {}).get("content") or []
        answered["logprobs"] = {"content": [e | {"top_logprobs": e["top_logprobs"][:top]} for e in entries]}
    if body.get("return_token_ids"):
        answer["prompt_token_ids"] = prompt_ids
        answered["token_ids"] = whole["tokens"]
    return answer


def write_chunks(body: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    """The same answer as server-sent chunks, `[DONE]` last.

    Prompt ids stand in the first chunk, sampled ids and logprobs in the one that has the finish reason.
    """
    choice = answer["choices"][0]
    message = choice["message"]
    head = {name: answer[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    usage = {"usage": None} if _wants_usage(body) else {}

    def chunk(delta: Mapping[str, Any], **extra: Any) -> str:
        spoken = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": None} | extra
        return _sse(head | {"choices": [spoken]} | usage)

    start = {"role": "assistant", "content": None if message["content"] is None else ""}
    first = {"index": 0, "delta": start, "finish_reason": None, "logprobs": None}
    ids = {"prompt_token_ids": answer["prompt_token_ids"]} if "prompt_token_ids" in answer else {}
    yield _sse(head | {"choices": [first]} | usage | ids)
    for piece in _pieces(message["content"] or ""):
        yield chunk({"content": piece})
    for index, call in enumerate(message.get("tool_calls", ())):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    sampled = {name: choice[name] for name in ("token_ids",) if name in choice}
    yield chunk({}, finish_reason=choice["finish_reason"], logprobs=choice["logprobs"], **sampled)
    if usage:
        yield _sse(head | {"choices": [], "usage": answer["usage"]})
    yield "data: [DONE]\n\n"


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _pieces(text: str, size: int = 16) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _sse(chunk: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
