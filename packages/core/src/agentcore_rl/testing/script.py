"""What a script is made of: the lines that `ScriptedModel` plays, one per HTTP request.

A line is an `Answer`, or a fault that stands in its place. All are frozen; what they become on the wire is
decided in `spelling.py` (an answer as JSON or as a stream) and `playing.py` (bytes, pauses and closings).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = [
    "Answer",
    "CutBody",
    "CutStream",
    "Drop",
    "Line",
    "Raw",
    "ScriptError",
    "Stall",
    "Status",
    "StreamStyle",
    "Timeout",
    "ToolCall",
    "answer_of",
    "mismatch",
]


class ScriptError(AssertionError):
    """The script was not played as written: lines were left unread, or a request broke it.

    It is a failed test, hence an AssertionError.
    """


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of an answer, well-formed or broken on purpose.

    Attributes:
        name: The function's name.
        arguments: A mapping, sent as its JSON; or a string, sent as it is (broken JSON included).
        id: The call's id. None: one is minted, unique within the server and equal each time that the same
            script is played. An empty string is sent as such; give two calls one id to send a duplicate.
        omit: Keys to leave out: "id", "type", "name" or "arguments".
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None
    omit: Sequence[str] = ()

    def __post_init__(self) -> None:
        unknown = set(self.omit) - {"id", "type", "name", "arguments"}
        if unknown:
            raise ValueError(f"ToolCall.omit takes id, type, name and arguments, not {sorted(unknown)}")


@dataclass(frozen=True, slots=True)
class StreamStyle:
    """How a streamed answer's server-sent events are spelled. Ignored where the request does not stream.

    Attributes:
        newline: What ends a line of the stream.
        comments: Send a comment (": keep-alive") before each chunk.
        usage_each_chunk: Send usage on each chunk, as vLLM's `continuous_usage_stats` does.
        done: Send the closing `data: [DONE]`.
        piece_bytes: Cut the stream into transport chunks of so many bytes, through lines and characters
            alike. None: one transport chunk for each chunk of the stream.
    """

    newline: Literal["\n", "\r\n", "\r"] = "\n"
    comments: bool = False
    usage_each_chunk: bool = False
    done: bool = True
    piece_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the model, streamed if the request asks for that.

    Attributes:
        content: The answer's text. None is sent as null.
        tool_calls: The answer's tool calls, in order.
        reasoning: Sent as `reasoning_content`; left out when None.
        finish_reason: None: "tool_calls" if there are any, else "stop".
        usage: The usage object. None: counted from the token ids. An empty mapping leaves usage out.
        token_ids: Ids of the answer's tokens, sent when the request asks for them. None: the UTF-8 bytes of
            the answer's rendering and an end token (see `tokens.py`).
        prompt_token_ids: Ids of the prompt's tokens; None: likewise, from the messages and tools.
        logprobs: One per token id, sent when the request asks for them. None: made up from the ids.
        delay_s: Seconds of silence before the first byte.
        chunks: How a stream is split: into so many pieces each of content, reasoning and each call's
            arguments; or the pieces of the content themselves.
        chunk_delay_s: Seconds between the chunks of a stream.
        style: How the stream is spelled.
        extra: Merged into the top level of the answer (of each chunk, when streamed).
        message_extra: Merged into the message (into the first delta, when streamed).
        headers: Response headers to set or replace, e.g. a wrong content type.
        expect: What the request must be: a mapping whose keys the request's JSON must have with equal values
            (mappings inside are compared the same way), or a function of the request's JSON that raises or
            returns False. A request that differs gets a 400 and is a violation of the script.
    """

    content: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    token_ids: Sequence[int] | None = None
    prompt_token_ids: Sequence[int] | None = None
    logprobs: Sequence[float] | None = None
    delay_s: float = 0.0
    chunks: int | Sequence[str] = 4
    chunk_delay_s: float = 0.0
    style: StreamStyle = StreamStyle()
    extra: Mapping[str, Any] = field(default_factory=dict)
    message_extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: Mapping[str, Any] | Callable[[dict[str, Any]], object] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.chunks, int):
            if self.chunks < 1:
                raise ValueError(f"Answer.chunks is {self.chunks}; a stream has at least one piece")
        elif "".join(self.chunks) != (self.content or ""):
            raise ValueError(
                "Answer.chunks, joined, differs from Answer.content; give the pieces of the content"
            )
        if (
            self.logprobs is not None
            and self.token_ids is not None
            and len(self.logprobs) != len(self.token_ids)
        ):
            raise ValueError(
                f"Answer has {len(self.logprobs)} logprobs for {len(self.token_ids)} token_ids; "
                "give one for each"
            )
        if self.logprobs is not None and self.token_ids is None:
            raise ValueError("Answer.logprobs needs Answer.token_ids: one logprob belongs to each token")


@dataclass(frozen=True, slots=True)
class Status:
    """An error answer with an OpenAI-shaped body.

    Attributes:
        status: The HTTP status, e.g. 429, 500, 503.
        message: The error's sentence; None: one that suits code and status.
        code: The error's code, e.g. "context_length_exceeded"; None: by status.
        retry_after: Sent as Retry-After: seconds, or an HTTP date.
        body: The whole body instead: a mapping is sent as JSON, bytes as they are.
        headers: Further response headers.
        delay_s: Seconds of silence before the first byte.
    """

    status: int
    message: str | None = None
    code: str | None = None
    retry_after: float | str | None = None
    body: Mapping[str, Any] | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection before any byte of an answer; with `reset`, by a TCP reset."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class CutBody:
    """Send the head and the first `after_bytes` bytes of the answer's body, then close."""

    answer: Answer
    after_bytes: int = 10


@dataclass(frozen=True, slots=True)
class CutStream:
    """Send the first `after_chunks` chunks of the streamed answer, then close.

    The first chunk carries only the role. With `clean` the response ends as HTTP wants it and merely lacks
    its rest: no finish reason, no `[DONE]`. An answer that is not streamed is cut in the middle of its body.
    """

    answer: Answer
    after_chunks: int = 2
    clean: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """Send the head and `after_chunks` chunks, be silent for `seconds`, then send the rest.

    Without an answer the connection is closed after the silence. The silence ends when the client leaves.
    """

    seconds: float
    answer: Answer | None = None
    after_chunks: int = 0


@dataclass(frozen=True, slots=True)
class Timeout:
    """No byte for `seconds`, then close. It ends when the client leaves."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Raw:
    """A response that is sent byte for byte.

    Content-Length is added unless the headers frame the body themselves (Content-Length or
    Transfer-Encoding); then the connection is closed after the body.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    body: bytes = b""


Line: TypeAlias = Answer | Status | Drop | CutBody | CutStream | Stall | Timeout | Raw
"""One line of a script: what a single HTTP request is answered with."""


def answer_of(line: Line) -> Answer | None:
    """Return the answer that a line plays, whole or in part; None if it plays none."""
    if isinstance(line, Answer):
        return line
    if isinstance(line, CutBody | CutStream | Stall):
        return line.answer
    return None


def mismatch(
    expect: Mapping[str, Any] | Callable[[dict[str, Any]], object] | None, request: dict[str, Any]
) -> str | None:
    """Return how a request's JSON differs from an `Answer.expect`; None when it does not."""
    if expect is None:
        return None
    if isinstance(expect, Mapping):
        return _difference(expect, request, "request")
    try:
        verdict = expect(request)
    except Exception as error:  # noqa: BLE001 - whatever the user's check raises is its verdict
        return f"expect raised {type(error).__name__}: {error}"
    return "expect returned False" if verdict is False else None


def _difference(expected: Any, actual: Any, path: str) -> str | None:
    if isinstance(expected, Mapping) and isinstance(actual, dict):
        for key, value in expected.items():
            if key not in actual:
                return f"{path} has no {key!r}"
            found = _difference(value, actual[key], f"{path}[{key!r}]")
            if found:
                return found
        return None
    # True == 1 in Python, and not in JSON.
    same = expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    return None if same else f"{path} is {actual!r:.200}, expected {expected!r:.200}"
