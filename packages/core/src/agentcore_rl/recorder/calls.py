"""One model call, from bytes: what was asked, what was sent, what came back. No I/O here.

`prepare` writes the body that goes on the wire; `AnswerReader` reads the answer's bytes as they
pass. Both look only at the top level of what they carry; messages stay raw JSON.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.deltas import Deltas
from agentcore_rl.rollout import Usage

__all__ = ["MODEL_ALIAS", "Answer", "AnswerReader", "Ask", "prepare"]

MODEL_ALIAS = "policy"
"""The model id that models are built with, so that no framework reads meaning into the real one."""

LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer that are kept at most; a longer one passes on untouched but is not recorded."""

_RAW_MESSAGES = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LINE_END = re.compile(rb"\r\n|\n|\r")
_NOT_SAMPLING = {"model", "messages", "tools"}
_AGENTS_OWN = {"messages", "tools", "stream"}
# Two names of one parameter: whoever sets one of them replaces the other.
_SAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

# Remarks of the gateway on what the model wrote: the turn is whole and true, and a trainer wants just these.
_NO_DOUBT = frozenset({"tools_offered_none_parsed", "unreadable_tool_call"})


@dataclass(frozen=True, slots=True)
class Ask:
    """A chat completions request as it goes on the wire.

    Attributes:
        body: the bytes that are sent.
        messages: each message of the body, raw JSON.
        tools: the body's tools, raw JSON; None when it has none.
        model: the model id in the body.
        sampling: every other parameter in the body, decoded.
        asked: what the agent had asked for, where the body differs from it.
        streamed: the body asks for a stream.
    """

    body: bytes
    messages: Sequence[bytes]
    tools: bytes | None
    model: str | None
    sampling: Mapping[str, Any]
    asked: Mapping[str, Any]
    streamed: bool


def prepare(body: bytes, endpoint: Endpoint) -> Ask | None:
    """The request that goes on the wire: the agent's, with the endpoint's model and sampling.

    The body is returned as it came when the endpoint changes nothing in it.

    Returns:
        None when the body is not a chat completions request (no JSON object with messages).
    """
    try:
        return _prepared(body, endpoint)
    except (ValueError, KeyError, RecursionError):  # ValueError: no JSON, or no UTF-8
        return None


def _prepared(body: bytes, endpoint: Endpoint) -> Ask:
    body.decode()  # raw values are not looked into, and must be UTF-8 all the same
    fields = _RAW_OBJECT.decode(body)
    messages = [bytes(raw) for raw in _RAW_MESSAGES.decode(fields["messages"])]
    asked: dict[str, Any] = {}
    changed = False
    for name, value in _overrides(endpoint).items():
        twin = _SAME.get(name)
        if twin in fields:
            asked[twin] = msgspec.json.decode(fields.pop(twin))
            changed = True
        raw = msgspec.json.encode(value)
        before = fields.get(name)
        if before is not None:
            if bytes(before) == raw:
                continue
            was = msgspec.json.decode(before)
            if was == value and type(was) is type(value):
                continue
            if not (name == "model" and was == MODEL_ALIAS):
                asked[name] = was
        fields[name] = msgspec.Raw(raw)
        changed = True
    if changed:
        body = msgspec.json.encode(fields)
    tools = fields.get("tools")
    sampling = {name: msgspec.json.decode(raw) for name, raw in fields.items() if name not in _NOT_SAMPLING}
    model = msgspec.json.decode(fields["model"]) if "model" in fields else None
    return Ask(
        body=body,
        messages=messages,
        tools=None if tools is None or bytes(tools) == b"null" else bytes(tools),
        model=model if isinstance(model, str) else None,
        sampling=sampling,
        asked=asked,
        streamed=sampling.get("stream") is True,
    )


def _overrides(endpoint: Endpoint) -> dict[str, Any]:
    fields = {
        name: value
        for name, value in {**endpoint.extra_body, **endpoint.sampling}.items()
        if name not in _AGENTS_OWN
    }
    if endpoint.model:
        fields["model"] = endpoint.model
    return fields


@dataclass(slots=True)
class Answer:
    """What the server answered.

    Attributes:
        message: the answer's message, raw JSON; None when there is none.
        finish_reason, response_id, usage: as the server said.
        prompt_ids: token ids of the whole prompt; None when not given.
        answer_ids: token ids that were sampled; None when not given.
        logprobs: one for each of `answer_ids`; None when not given or their number differs.
        prompt_rest: where a gateway gives a prompt as what it adds: the earlier answer's response id (None
            for none), how many ids of that prompt and answer it begins with, and the ids behind them.
        complete: the answer is whole.
        remarks: reasons why this may not be the whole truth.
    """

    message: bytes | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    usage: Usage | None = None
    prompt_ids: array[int] | None = None
    answer_ids: array[int] | None = None
    logprobs: array[float] | None = None
    prompt_rest: tuple[str | None, int, array[int]] | None = None
    policy_version: int | None = None
    complete: bool = False
    remarks: list[str] = field(default_factory=list)


class _Choice(msgspec.Struct):
    """Fields are untyped where servers differ: an odd one must not cost the rest."""

    index: Any = 0
    message: msgspec.Raw = msgspec.Raw(b"")
    delta: Any = None
    finish_reason: Any = None
    token_ids: Any = None
    logprobs: Any = None


class _Body(msgspec.Struct):
    """A chat completion, or one chunk of a streamed one."""

    id: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    prompt_token_ids: Any = None
    policy_version: Any = None
    agentcore_rl: Any = None
    error: Any = None


_BODY = msgspec.json.Decoder(_Body)


class AnswerReader:
    """Reads an answer's bytes as they pass; `finish` gives what they say.

    A stream is put together as it comes, so only the answer itself is held, never its chunks.
    """

    def __init__(self, *, event_stream: bool) -> None:
        self._event_stream = event_stream
        self._size = 0
        self._body = bytearray()
        self._line = bytearray()
        self._event: list[bytes] = []
        self._answer = Answer()
        self._deltas = Deltas()
        self._token_ids: list[int] | None = None  # of a stream, as are these
        self._logprobs: list[Any] = []
        self._from_gateway = False

    @property
    def complete(self) -> bool:
        """For a stream: its end was seen (`[DONE]` or a finish reason)."""
        return self._answer.complete

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the answer's body."""
        self._size += len(chunk)
        if self._size > LARGEST_ANSWER:
            self._body.clear()
            self._line.clear()
            self._event.clear()
            self._deltas = Deltas()
            self._token_ids, self._logprobs = None, []
            return
        if self._event_stream:
            self._feed_lines(chunk)
        else:
            self._body += chunk

    def finish(self) -> Answer:
        """What the bytes say; call once, when no more come."""
        answer = self._answer
        if self._size > LARGEST_ANSWER:
            answer.remarks.append("answer_too_large")
            return answer
        if not self._event_stream:
            self._read_body(bytes(self._body))
            self._body.clear()
            return answer
        if self._line:
            self._feed_lines(b"\n")
        self._dispatch()
        answer.message = self._deltas.message()
        self._tokens(self._token_ids, self._logprobs)
        return answer

    def _feed_lines(self, chunk: bytes) -> None:
        self._line += chunk
        if b"\n" not in chunk and b"\r" not in chunk and b"\r" not in self._line:
            return  # a long line that comes in pieces is looked at once
        held = b""
        if self._line.endswith(b"\r"):  # it may be half of a line end
            held = b"\r"
            del self._line[-1:]
        *lines, rest = _LINE_END.split(bytes(self._line))
        self._line = bytearray(rest + held)
        for line in lines:
            if not line:
                self._dispatch()
            elif line.startswith(b"data:"):
                self._event.append(bytes(line[5:].lstrip(b" ")))

    def _dispatch(self) -> None:
        if not self._event:
            return
        payload = b"\n".join(self._event)
        self._event.clear()
        if payload.strip() == b"[DONE]":
            self._answer.complete = True
            return
        body = self._decode(payload)
        if body is None:
            return
        if body.error is not None:
            self._note("error_in_stream")
        for choice in body.choices or ():
            if choice.index:
                self._note("several_choices")
                continue
            if choice.finish_reason is not None:
                self._answer.finish_reason = str(choice.finish_reason)
                self._answer.complete = True
            if isinstance(choice.token_ids, list):
                self._token_ids = self._token_ids or []
                self._token_ids.extend(choice.token_ids)
            self._logprobs.extend(_entries(choice.logprobs))
            if isinstance(choice.delta, Mapping):
                self._deltas.add(choice.delta)

    def _decode(self, payload: bytes) -> _Body | None:
        try:
            payload.decode()  # a raw message is not looked into, and must be UTF-8 all the same
            body = _BODY.decode(payload)
        except (ValueError, RecursionError):
            repaired = _repaired(payload)
            self._note("malformed_answer" if repaired is None else "repaired_answer")
            if repaired is None:
                return None
            body = repaired
        answer = self._answer
        if answer.response_id is None and isinstance(body.id, str):
            answer.response_id = body.id
        if isinstance(body.usage, Mapping) and body.usage:
            answer.usage = _usage(body.usage)
        if body.prompt_token_ids is not None:
            answer.prompt_ids = _ids(body.prompt_token_ids)
        if _is_count(body.policy_version):
            answer.policy_version = body.policy_version
        if isinstance(body.agentcore_rl, Mapping):
            self._gateway_tokens(body.agentcore_rl)
        return body

    def _gateway_tokens(self, given: Mapping[str, Any]) -> None:
        """Ids, logprobs and remarks as our gateway adds them to an answer that it has in its log."""
        answer = self._answer
        self._from_gateway = True
        answer.answer_ids = _ids(given.get("answer"))
        rest, keep, before = _ids(given.get("prompt_new")), given.get("prompt_keep"), given.get("placed_on")
        if rest is not None and isinstance(keep, int) and isinstance(before, str | None):
            answer.prompt_rest = (before, keep, rest)
        values = given.get("logprobs")
        if (
            answer.answer_ids is not None
            and isinstance(values, list)
            and len(values) == len(answer.answer_ids)
        ):
            if all(map(_is_number, values)):
                answer.logprobs = array("d", values)
            else:  # the engine left some out, and the gateway says so rather than make them up
                self._note("logprobs_incomplete")
        for remark in given.get("remarks") or ():
            if isinstance(remark, str) and remark not in _NO_DOUBT:
                self._note(remark)

    def _read_body(self, content: bytes) -> None:
        body = self._decode(content)
        if body is None or not body.choices:
            self._note("malformed_answer")
            return
        if len(body.choices) > 1:
            self._note("several_choices")
        choice = body.choices[0]
        message = bytes(choice.message)
        self._answer.message = message if message.startswith(b"{") else None
        if choice.finish_reason is not None:
            self._answer.finish_reason = str(choice.finish_reason)
        self._answer.complete = self._answer.message is not None
        self._tokens(choice.token_ids, _entries(choice.logprobs))

    def _note(self, remark: str) -> None:
        if remark not in self._answer.remarks:
            self._answer.remarks.append(remark)

    def _tokens(self, ids: Any, entries: Sequence[Any]) -> None:
        """Ids as the server gave them: vLLM's `token_ids`, or llama.cpp's `id` beside each logprob."""
        if self._from_gateway:
            return
        answer = self._answer
        entries = [entry for entry in entries if isinstance(entry, Mapping)]
        if ids is None and entries:
            given = [entry.get("id") for entry in entries]
            if all(isinstance(number, int) for number in given):
                # llama.cpp leaves out ids inside a character that spans several: take none then.
                counted = answer.usage.completion_tokens if answer.usage else None
                if counted is None or counted - len(given) in (0, 1):
                    ids = given
                else:
                    self._note("token_ids_incomplete")
        if ids is None:
            return
        answer.answer_ids = _ids(ids)
        if answer.answer_ids is None:
            self._note("token_ids_unreadable")
            return
        values = [value for entry in entries if _is_number(value := entry.get("logprob"))]
        if values and len(values) == len(answer.answer_ids):
            answer.logprobs = array("d", values)
        elif entries:
            # No logprobs then, rather than shifted ones; the messages and the ids are whole all the same.
            return


def _repaired(payload: bytes) -> _Body | None:
    """What is JSON to the SDKs, and not to the letter: NaN, infinities, halves of surrogate pairs."""
    try:
        value = json.loads(payload.decode(errors="replace"))
        text = json.dumps(_plain(value)).encode()
        return _BODY.decode(text)
    except (ValueError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(name): _plain(item) for name, item in value.items()}
    return value


def _entries(logprobs: Any) -> Sequence[Any]:
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    return content if isinstance(content, list) else ()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _ids(ids: Any) -> array[int] | None:
    try:
        return array("I", ids) if isinstance(ids, list) else None
    except (OverflowError, TypeError):
        return None


def _usage(usage: Mapping[str, Any]) -> Usage:
    def count(name: str) -> int | None:
        value = usage.get(name)
        return value if _is_count(value) else None

    return Usage(count("prompt_tokens"), count("completion_tokens"))
