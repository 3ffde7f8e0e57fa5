"""A chat completions request: its top level is read, its messages are only carried."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from agentcore_rl_gateway.refusals import CallRefused, unsupported

__all__ = ["MODEL_ALIAS", "NOT_SAMPLING", "Ask", "new_id", "read_ask"]

MODEL_ALIAS = "policy"
"""The model name that agents may use for whatever their session allows."""

_MOST_FIELDS = 200
_NO_MESSAGE = re.compile(rb"\[\s*\]")
_NULL = msgspec.Raw(b"null")
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
# More than one answer, or answers that are not what the policy sampled: no training row comes of them.
_NEVER = {
    "best_of": "one answer is sampled per call; send several calls",
    "echo": "a prompt is not repeated in its answer",
    "use_beam_search": "a beam is not a sample of the policy",
    "truncate_prompt_tokens": "a prompt that is cut is not the one that was sent",
    "functions": "it is superseded; send `tools`",
    "function_call": "it is superseded; send `tool_choice`",
    "request_id": "an answer's id is the engine's to give",
    "rid": "an answer's id is the engine's to give",
}
_AGENTS_OWN = {"messages", "tools", "stream", "stream_options", "n", "model"}
NOT_SAMPLING = frozenset(_NEVER) | _AGENTS_OWN
"""Fields of a request that no session may decide."""


class Ask(msgspec.Struct):
    """What a client asks for.

    Attributes:
        fields: the request's top level as it goes on, the trainer's sampling in place; `messages` raw.
        messages: the messages, raw JSON.
        model: the model's name; empty for none.
        stream: the answer is to be streamed.
        usage: a stream ends with a chunk that has the usage.
        logprobs: the client wants logprobs.
        ids: the client wants every id of prompt and answer (vLLM's `return_token_ids`).
        tokens: the client wants what a record lacks (`agentcore_rl` in the answer).
        call_id: its idempotency id; empty for none.
        checksum: the first 64 bits of sha256 of the request's bytes; 0 without an idempotency id.
    """

    fields: dict[str, msgspec.Raw]
    messages: bytes
    model: str
    stream: bool
    usage: bool
    logprobs: bool
    ids: bool
    tokens: bool = False
    call_id: str = ""
    checksum: int = 0

    def value(self, name: str) -> Any:
        """A field decoded; None where the request has none."""
        raw = self.fields.get(name)
        return None if raw is None else msgspec.json.decode(raw)

    def request(self) -> bytes:
        """Every field but the messages, as JSON."""
        return msgspec.json.encode({name: raw for name, raw in self.fields.items() if name != "messages"})


def new_id() -> str:
    """An answer's id, of ours."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def read_ask(body: bytes, *, model: str | None, sampling: Mapping[str, Any], call_id: str = "") -> Ask:
    """The request in these bytes, with what the trainer decides in place.

    Args:
        body: as the client sent it.
        model: the only model that it may use; None for any.
        sampling: parameters that win over the request's.
        call_id: its idempotency id; empty for none.

    Raises:
        CallRefused: it is no such request, or asks for what is never served.
    """
    try:
        if not body.isascii():
            body.decode()  # raw values are not looked into, and must be UTF-8 all the same
        fields = _RAW_OBJECT.decode(body)
    except RecursionError:
        raise CallRefused("The request is nested too deeply to be read; send plainer JSON.") from None
    except msgspec.ValidationError:
        raise CallRefused("The request must be a JSON object with `model` and `messages`.") from None
    except ValueError as error:  # neither JSON nor UTF-8
        raise CallRefused(f"The request is not JSON: {error}.", code="invalid_json") from None
    if len(fields) > _MOST_FIELDS:
        raise CallRefused(f"A request has at most {_MOST_FIELDS} fields, and this one has {len(fields)}.")
    if _NULL in fields.values():
        fields = {name: raw for name, raw in fields.items() if raw != _NULL}
    if not _NEVER.keys().isdisjoint(fields):
        _refuse_unsupported(fields)
    if sampling:
        _override(fields, sampling)
    messages = bytes(fields.get("messages", b"")).strip()
    if not messages.startswith(b"[") or _NO_MESSAGE.match(messages):
        raise CallRefused("`messages` must be a list of at least one message.", param="messages")
    if "n" in fields and _read(fields, "n", int) != 1:
        raise CallRefused("`n` must be 1: send one call per answer.", param="n")
    stream = "stream" in fields and _read(fields, "stream", bool)
    options = _read(fields, "stream_options", dict) if "stream_options" in fields else {}
    return Ask(
        fields=fields,
        messages=messages,
        model=_model(fields, model),
        stream=stream,
        usage=stream and options.get("include_usage") is True,
        logprobs="logprobs" in fields and _read(fields, "logprobs", bool),
        ids="return_token_ids" in fields and _read(fields, "return_token_ids", bool),
        call_id=call_id,
        checksum=int.from_bytes(hashlib.sha256(body).digest()[:8]) if call_id else 0,
    )


def _refuse_unsupported(fields: Mapping[str, msgspec.Raw]) -> None:
    for name in _NEVER.keys() & fields.keys():
        if bytes(fields[name]) != b"false":
            raise unsupported(name, _NEVER[name])


def _override(fields: dict[str, msgspec.Raw], sampling: Mapping[str, Any]) -> None:
    for name, value in sampling.items():
        fields.pop(_SAME.get(name, ""), None)
        if value is None:
            fields.pop(name, None)
        else:
            fields[name] = msgspec.Raw(msgspec.json.encode(value))


def _model(fields: dict[str, msgspec.Raw], allowed: str | None) -> str:
    asked = _read(fields, "model", str) or ""
    if allowed is None:
        return asked
    if asked not in ("", MODEL_ALIAS, allowed):
        raise CallRefused(
            f"This key may use the model {allowed!r} alone, not {asked[:100]!r}: ask for it, or for "
            f"{MODEL_ALIAS!r}.",
            status=404,
            code="model_not_found",
            param="model",
        )
    fields["model"] = msgspec.Raw(msgspec.json.encode(allowed))
    return allowed


def _read(fields: Mapping[str, msgspec.Raw], name: str, kind: type) -> Any:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, RecursionError):
        words = {bool: "true or false", int: "an integer", dict: "an object", str: "a string"}
        raise CallRefused(f"`{name}` must be {words[kind]}.", param=name) from None
