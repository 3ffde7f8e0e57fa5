"""What `ScriptedModel` keeps of each request and of what it answered."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from agentcore_rl.testing import tokens
from agentcore_rl.testing.http1 import Request, header
from agentcore_rl.testing.script import Line

__all__ = [
    "ServedCall",
    "invalid",
    "marked_conversation",
]

_MARKER = re.compile(r"\[\[conversation:(.+?)\]\]")
_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


class ServedCall:
    """One HTTP request and what it was answered with.

    It is in `ScriptedModel.calls` from the moment that the request was read, and complete once `ended` is
    set, which is before the answer's last byte goes out: a client that has the whole answer finds it here.

    Attributes:
        number: Position among all calls of the server, from 0, in the order of arrival.
        method: E.g. "POST".
        path: E.g. "/v1/chat/completions", with the query if there is one.
        headers: Names and values as they came, in order.
        request_head: The request's first line and headers, byte for byte.
        body: The request's body, byte for byte (without chunk framing).
        conversation: The script's key that this call belongs to; None where the script has one conversation.
        line: The line that was played; None when none was (another path, a violation).
        status: The status that was sent; None if the connection was closed before any byte.
        violation: How this call broke the script; None if it did not.
        client_left: The client went away before it had been sent everything.
        started: `time.monotonic()` when the request was read whole.
        ended: `time.monotonic()` when the last byte went out; None while the call is under way.
    """

    def __init__(self, number: int, request: Request) -> None:
        self.number = number
        self.method = request.method
        self.path = request.path
        self.headers = request.headers
        self.request_head = request.head
        self.body = request.body
        self.conversation: str | None = None
        self.line: Line | None = None
        self.status: int | None = None
        self.violation: str | None = None
        self.client_left = False
        self.started = time.monotonic()
        self.ended: float | None = None
        self._wire: list[bytes] = []
        self._payload: list[bytes] = []
        self._parsed: dict[str, Any] | None = None  # only while the line is chosen

    def header(self, name: str) -> str | None:
        """Return the first request header of that name, whatever its case; None if there is none."""
        return header(self.headers, name)

    @property
    def json(self) -> dict[str, Any] | None:
        """The request's body as JSON, parsed anew at each use; None if it is not a JSON object."""
        if self._parsed is not None:
            return self._parsed
        try:
            parsed = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return parsed if isinstance(parsed, dict) else None

    @property
    def streamed(self) -> bool:
        """Whether the request asked for a stream."""
        return (self.json or {}).get("stream") is True

    @property
    def response_bytes(self) -> bytes:
        """Every byte sent so far: status line, headers, and the body with its chunk framing."""
        return b"".join(self._wire)

    @property
    def response_body(self) -> bytes:
        """The body sent so far, without chunk framing: what a client's body reader gets."""
        return b"".join(self._payload)

    def __repr__(self) -> str:
        return f"<ServedCall {self.number} {self.method} {self.path} {self.status} {self.violation or ''}>"


def marked_conversation(call: ServedCall) -> str | None:
    """Return KEY of the first `[[conversation:KEY]]` in the request's messages; None if there is none."""
    for message in (call.json or {}).get("messages", ()):
        found = _MARKER.search(tokens.content_text(message.get("content")))
        if found:
            return found.group(1)
    return None


def invalid(body: Mapping[str, Any]) -> str | None:
    """Return why a JSON object is no chat completions request; None if it is one."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages is not a list with at least one message"
    for at, message in enumerate(messages):
        if not isinstance(message, dict):
            return f"messages[{at}] is not an object"
        if message.get("role") not in _ROLES:
            return f"messages[{at}] has the role {message.get('role')!r}"
    if not isinstance(body.get("stream"), bool | None):
        return f"stream is {body['stream']!r}, neither true nor false"
    if not isinstance(body.get("tools"), list | None):
        return "tools is not a list"
    if body.get("n") not in (None, 1):
        return f"n is {body['n']!r}; a script has one answer for each request"
    return None
