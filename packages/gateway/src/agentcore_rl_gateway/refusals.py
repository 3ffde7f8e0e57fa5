"""What the gateway answers when it does not serve a call, in the shape that OpenAI's SDKs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

__all__ = ["CallRefused", "Reply", "refusal_of_engine", "unsupported"]

JSON = (b"content-type", b"application/json")


class Reply(msgspec.Struct, frozen=True):
    """A whole answer of ours.

    Attributes:
        status: HTTP status.
        body: its bytes.
        headers: raw ASGI headers, without the length.
    """

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = (JSON,)


@dataclass(slots=True)
class CallRefused(Exception):
    """A call that is not served, or that the engine did not answer.

    Attributes:
        message: what went wrong, why, and what to do.
        status: HTTP status.
        kind: OpenAI's `type`.
        code: OpenAI's `code`.
        param: the field of the request that is at fault.
        headers: further headers, such as Retry-After.
        body: bytes that are passed on as they are in place of a body of ours.
    """

    message: str
    status: int = 400
    kind: str = ""
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return self.message

    def error(self) -> dict[str, str | None]:
        """The error object, as it stands in a body or in a stream."""
        kind = self.kind or ("invalid_request_error" if self.status < 500 else "server_error")
        return {"message": self.message, "type": kind, "param": self.param, "code": self.code}

    def reply(self) -> Reply:
        """The answer to the client."""
        body = self.body if self.body is not None else msgspec.json.encode({"error": self.error()})
        further = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers.items()]
        return Reply(self.status, body, (JSON, *further))


def unsupported(param: str, why: str) -> CallRefused:
    """The refusal of a parameter that this engine cannot honour; it is never ignored in silence."""
    return CallRefused(f"`{param}` is not supported here: {why}", code="unsupported_parameter", param=param)


def refusal_of_engine(status: int, body: bytes, headers: Mapping[str, str]) -> CallRefused:
    """What a client gets where the engine answered with an error: its status, body and Retry-After.

    A body that is no JSON object (a proxy's page) is put into the protocol's shape.
    """
    kept = {"retry-after": headers["retry-after"]} if "retry-after" in headers else {}
    try:
        shaped = isinstance(msgspec.json.decode(body), dict)
    except (ValueError, RecursionError):
        shaped = False
    said = body[:500].decode("utf-8", "replace").strip() or "nothing"
    return CallRefused(
        f"The engine answered {status} and said: {said}",
        status=status if status >= 400 else 502,
        kind="engine_error",
        code="engine_error",
        headers=kept,
        body=body if shaped and status >= 400 else None,
    )
