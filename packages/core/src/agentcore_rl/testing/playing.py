"""What a line of the script becomes on the wire: bytes, pauses and closings. Pure; `http1.py` performs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from agentcore_rl.testing.script import (
    Answer,
    CutBody,
    CutStream,
    Drop,
    Line,
    Raw,
    Stall,
    Status,
    Timeout,
    answer_of,
)
from agentcore_rl.testing.spelling import Spelling, to_json

__all__ = [
    "Action",
    "Close",
    "Pause",
    "Send",
    "play",
    "status",
    "whole",
]


@dataclass(frozen=True, slots=True)
class Send:
    """Send bytes. `payload` is the part of them that belongs to the body, without its framing."""

    wire: bytes
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Pause:
    """Be silent for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection, by a TCP reset if so asked."""

    reset: bool = False


Action: TypeAlias = Send | Pause | Close
"""One thing that the server does on a connection."""

_LAST_CHUNK = Send(b"0\r\n\r\n")
_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8"}

# status: (type, code, message), as OpenAI's API words them
_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is invalid."),
    401: ("authentication_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("permission_error", None, "You are not allowed to use this model."),
    404: ("invalid_request_error", "not_found", "Not found."),
    408: ("timeout_error", None, "The request timed out."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Rate limit reached."),
    500: ("server_error", None, "The server had an error while processing your request."),
    502: ("server_error", None, "Bad gateway."),
    503: ("server_error", None, "The server is overloaded."),
    504: ("server_error", None, "The model did not answer in time."),
}
_CODES = {
    "context_length_exceeded": "This model's maximum context length is 8192 tokens; your messages are longer."
}


def play(line: Line, spelling: Spelling | None) -> tuple[int | None, list[Action]]:
    """Return the status that a line answers with (None: no answer begins) and what to do, in order.

    Args:
        line: The line to play.
        spelling: The line's answer (`answer_of(line)`), ready for this request; None if it has none.
    """
    match line:
        case Status():
            return line.status, [*_pause(line.delay_s), *status(line)]
        case Raw():
            return line.status, _raw(line)
        case Drop():
            return None, [Close(reset=line.reset)]
        case Timeout():
            return None, [Pause(line.seconds), Close()]
        case _:
            return 200, _played_answer(line, spelling)


def status(line: Status) -> list[Action]:
    """Return an error answer, OpenAI-shaped unless the line brings its own body."""
    headers = dict(_JSON)
    if line.retry_after is not None:
        headers["retry-after"] = str(line.retry_after)
    if isinstance(line.body, bytes):
        body = line.body
    elif line.body is not None:
        body = to_json(dict(line.body))
    else:
        kind, code, message = _ERRORS.get(line.status, ("server_error", None, "The request failed."))
        code = line.code or code
        message = line.message or _CODES.get(code or "", message)
        body = to_json({"error": {"message": message, "type": kind, "param": None, "code": code}})
    return whole(line.status, _merged(headers, line.headers), body)


def whole(code: int, headers: Mapping[str, str], body: bytes) -> list[Action]:
    """Return a complete response with a Content-Length."""
    head = _head(code, {**headers, "content-length": str(len(body))})
    return [Send(head + body, body)]


def _raw(line: Raw) -> list[Action]:
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name in line.headers}
    if not framed:
        return whole(line.status, line.headers, line.body)
    return [Send(_head(line.status, line.headers) + line.body, line.body), Close()]


@dataclass(frozen=True, slots=True)
class _Response:
    """A good answer before any fault: its head, its body in pieces, and how these are framed."""

    head: bytes
    pieces: list[bytes]
    chunked: bool
    delay_s: float

    def sends(self, start: int = 0, stop: int | None = None) -> Iterator[Action]:
        """Yield the sending of some pieces, with the delays between them."""
        for at, piece in enumerate(self.pieces[start:stop], start):
            if at and self.delay_s:
                yield Pause(self.delay_s)
            yield self.framed(piece)

    def framed(self, payload: bytes) -> Send:
        """Return the sending of a part of the body."""
        return (
            Send(b"%x\r\n%b\r\n" % (len(payload), payload), payload)
            if self.chunked
            else Send(payload, payload)
        )

    def end(self) -> list[Action]:
        """Return what follows the last part of the body."""
        return [_LAST_CHUNK] if self.chunked else []


def _played_answer(line: Line, spelling: Spelling | None) -> list[Action]:
    answer = answer_of(line)
    if answer is None or spelling is None:
        assert isinstance(line, Stall)
        return [Send(_head(200, _JSON | {"transfer-encoding": "chunked"})), Pause(line.seconds), Close()]
    response = _respond(answer, spelling)
    opening = [*_pause(answer.delay_s), Send(response.head)]
    match line:
        case CutBody():
            body = b"".join(response.pieces)[: line.after_bytes]
            return [*opening, *([response.framed(body)] if body else []), Close()]
        case CutStream() if not response.chunked:
            body = response.pieces[0]
            return [*opening, response.framed(body[: len(body) // 2]), Close()]
        case CutStream():
            cut = response.sends(stop=line.after_chunks)
            return [*opening, *cut, *(response.end() if line.clean else [Close()])]
        case Stall():
            # A body that is not streamed is one piece: nothing of it comes before the silence.
            at = line.after_chunks if response.chunked else 0
            before, after = response.sends(stop=at), response.sends(start=at)
            return [*opening, *before, Pause(line.seconds), *after, *response.end()]
        case _:
            return [*opening, *response.sends(), *response.end()]


def _respond(answer: Answer, spelling: Spelling) -> _Response:
    if spelling.request.get("stream") is not True:
        body = to_json(spelling.whole())
        headers = _merged(_JSON | {"content-length": str(len(body))}, answer.headers)
        return _Response(_head(200, headers), [body], False, 0.0)
    pieces = list(_stream(answer, spelling))
    size = answer.style.piece_bytes
    if size:
        text = b"".join(pieces)
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
    headers = _merged(_SSE | {"transfer-encoding": "chunked"}, answer.headers)
    return _Response(_head(200, headers), pieces, True, answer.chunk_delay_s)


def _stream(answer: Answer, spelling: Spelling) -> Iterator[bytes]:
    style = answer.style
    newline = style.newline.encode()
    before = b": keep-alive" + newline * 2 if style.comments else b""
    for chunk in spelling.chunks():
        yield before + b"data: " + to_json(chunk) + newline * 2
    if style.done:
        yield before + b"data: [DONE]" + newline * 2


def _pause(seconds: float) -> list[Action]:
    return [Pause(seconds)] if seconds else []


def _merged(headers: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    return {**headers, **{name.lower(): value for name, value in others.items()}}


def _head(code: int, headers: Mapping[str, str]) -> bytes:
    try:
        phrase = HTTPStatus(code).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {code} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
