"""One logical model call between the transport and the recorder. No I/O here.

The transports in `wire` move bytes; an `Exchange` decides what is sent, reads along, says when a
retry is worth making, and tells the recorder how it ended.
"""

from __future__ import annotations

import email.utils
import random
import time
import traceback
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.exceptions import ConfigurationError, ModelCallRefused
from agentcore_rl.logs import logger_of
from agentcore_rl.recorder.calls import Answer, AnswerReader, prepare
from agentcore_rl.recorder.recorder import CallInProgress, Recorder
from agentcore_rl.recorder.scope import Scope, find_scope
from agentcore_rl.rollout import HTTPAttempt

__all__ = ["LABEL", "PLACEHOLDER_URL", "TOKENS_HEADER", "Exchange", "Refusal"]

logger = logger_of(__name__)

LABEL = "x-agentcore-rl-"
"""Headers that start so are labels for the recorder; they never leave the process."""

TOKENS_HEADER = "AgentCore-RL-Tokens"
"""Asks a gateway for what a record lacks: ids, as what each prompt adds. Other servers ignore it."""

PLACEHOLDER_URL = "http://endpoint.agentcore-rl.invalid/v1"
"""What models are built with; the transport puts the endpoint's url in its place at each call."""

RETRIED = frozenset({408, 429, 502, 503, 504})
"""Statuses after which nothing was sampled."""

LONGEST_WAIT_S = 60.0
_NO_ENDPOINT = "There is no model endpoint: set BASE_URL (and MODEL_ID, API_KEY) for this process."
_NO_ROLLOUT_ENDPOINT = "This rollout has no model endpoint: its request names none and BASE_URL is not set."
_NOT_FORWARDED = frozenset(
    {"host", "content-length", "transfer-encoding", "authorization", "accept-encoding", "connection"}
    | {"idempotency-key", "api-key"}
    # What the SDK reads from the environment for its own service is not for another host.
    | {"openai-organization", "openai-project", "cookie", "proxy-authorization"}
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is made here because the call must not be sent."""

    status: int
    body: bytes

    @classmethod
    def of(cls, error: Exception) -> Refusal:
        """The refusal as the OpenAI API shapes an error; 403, since no SDK or framework retries that."""
        code = error.code if isinstance(error, ModelCallRefused) else "no_endpoint"
        body = {"error": {"message": str(error), "type": "agentcore_rl_refused", "param": None, "code": code}}
        return cls(403, msgspec.json.encode(body))


class Exchange:
    """What one model call sends, and what becomes of it.

    Args:
        method: HTTP method.
        url: as the SDK built it, on `PLACEHOLDER_URL` or on the user's own base url.
        headers: the SDK's headers.
        body: the SDK's body.

    Attributes:
        refusal: set when the call must not be sent; nothing else is usable then.
        method, url, headers, body: what goes on the wire.
        timeout_s: seconds without a byte before the call counts as lost.
    """

    def __init__(self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.method = method
        self.refusal: Refusal | None = None
        self.url, self.body = url, body
        self.headers: list[tuple[str, str]] = []
        self._call: CallInProgress | None = None
        self._recorder: Recorder | None = None
        self._reader: AnswerReader | None = None
        self._attempts = 0
        self._status: int | None = None
        self._attempt_started = 0.0
        self._attempt_open = False
        self._streamed = False
        self.timeout_s = 0.0
        self._done = False
        labels, plain = _split(headers)
        try:
            scope, inferred = find_scope()
            if scope.endpoint is None:
                raise ConfigurationError(_NO_ENDPOINT if scope.recorder is None else _NO_ROLLOUT_ENDPOINT)
            self._scope = scope
            self.timeout_s = scope.endpoint.timeout_s
            self.url = scope.endpoint.base_url.rstrip("/") + _suffix(url)
            self.headers = _headers(plain, scope.endpoint)
            self._prepare(scope, scope.endpoint, labels, inferred)
        except (ModelCallRefused, ConfigurationError) as error:
            self.refusal = Refusal.of(error)

    def __repr__(self) -> str:
        return f"<Exchange {self.method} attempts={self._attempts} status={self._status} done={self._done}>"

    def _prepare(self, scope: Scope, endpoint: Endpoint, labels: Mapping[str, str], inferred: bool) -> None:
        recorder = scope.recorder
        path = urlsplit(self.url).path
        ask = None
        if self.method == "POST" and path.endswith("/chat/completions"):
            ask = prepare(self.body, endpoint)
        if ask is None:
            if recorder is not None:
                recorder.refuse_if_over()
                if self.method == "POST" and not path.endswith("/embeddings"):
                    recorder.remark("unrecorded_call")
            return
        self.body = ask.body
        self._streamed = ask.streamed
        if recorder is None:
            return
        self._recorder = recorder
        try:
            self._call = recorder.begin(ask, labels=labels, inferred=inferred)
        except ModelCallRefused:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not break the agent's call
            self._cannot_record(error)

    # ---- attempts

    def attempt(self) -> None:
        """The next HTTP attempt begins."""
        self._attempts += 1
        self._status = None
        self._attempt_started = time.monotonic()
        self._attempt_open = True

    def answered(self, status: int, content_type: str) -> None:
        """The answer's head is here."""
        self._status = status
        if self._call is not None and status < 300:
            kind = content_type.lower()
            # Where the server says neither, SDKs go by what was asked.
            event_stream = "text/event-stream" in kind or (self._streamed and "json" not in kind)
            self._reader = AnswerReader(event_stream=event_stream)

    def chunk(self, content: bytes) -> None:
        """The next bytes of the answer's body pass. Never raises: the call is the agent's."""
        if self._reader is None:
            return
        try:
            self._reader.feed(content)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not break the agent's call
            self._cannot_record(error)

    def _cannot_record(self, error: Exception) -> None:
        self._reader = None
        # Where, and not what: an exception's text may quote a message.
        place = "".join(traceback.format_tb(error.__traceback__))
        logger.error("A model call could not be recorded (%s):\n%s", type(error).__name__, place)
        if self._recorder is not None:
            self._recorder.remark("recording_failed")

    @property
    def complete(self) -> bool:
        """A stream's end has been seen."""
        return self._reader is not None and self._reader.complete

    def attempt_failed(self, reason: str) -> None:
        """The attempt ended without a usable answer; the call may go on with another."""
        self._close_attempt(reason, complete=False)

    def retry_delay(self, *, status: int | None = None, retry_after: str | None = None) -> float | None:
        """Seconds to wait before the next attempt; None when none is to be made.

        Args:
            status: of the answer; None when the connection failed before its first byte.
            retry_after: the answer's header, in seconds or as a date.
        """
        if self._attempts > self._scope.retries or (status is not None and status not in RETRIED):
            return None
        delay = _retry_after(retry_after)
        if delay is None:
            delay = min(8.0, 0.5 * 2 ** (self._attempts - 1)) * random.uniform(0.75, 1.25)
        if delay > LONGEST_WAIT_S:
            return None
        if self.over:
            return None
        deadline = self._scope.recorder.deadline if self._scope.recorder is not None else None
        if deadline is not None and time.monotonic() + delay >= deadline:
            return None
        return delay

    @property
    def over(self) -> bool:
        """The rollout has ended: nothing more is to be sent."""
        return self._scope.recorder is not None and self._scope.recorder.closing.is_set()

    def wait(self, delay: float) -> bool:
        """Sleep in this thread; False when the rollout ended meanwhile."""
        if self._scope.recorder is not None:
            return not self._scope.recorder.closing.wait(delay)
        time.sleep(delay)
        return True

    def end(self, error: str | None = None) -> None:
        """The call is over: its answer has passed, or `error` says what cut it.

        Later ends are ignored. Never raises: the call is the agent's.
        """
        if self._done:
            return
        self._done = True
        try:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not break the agent's call
            self._cannot_record(error)

    def _end(self, error: str | None) -> None:
        answer = self._reader.finish() if self._reader is not None else Answer()
        if error is not None and not answer.complete and "malformed_answer" in answer.remarks:
            answer.remarks.remove("malformed_answer")  # it is only cut
        if self._reader is not None and not answer.complete and error is None and answer.message is None:
            error = "the answer is not a chat completion"
        self._close_attempt(error, complete=answer.complete)
        if self._recorder is not None and self._call is not None:
            if error is not None and answer.complete:
                # The answer was whole before the connection broke.
                answer.remarks.append("broken_after_end")
            self._recorder.end(self._call, answer)

    def _close_attempt(self, error: str | None, *, complete: bool) -> None:
        if not self._attempt_open:
            return
        self._attempt_open = False
        if self._recorder is None or self._call is None:
            return
        self._recorder.attempted(
            self._call,
            HTTPAttempt(
                started_s=self._recorder.since_start(self._attempt_started),
                seconds=time.monotonic() - self._attempt_started,
                status=self._status,
                error=error,
                complete=complete,
            ),
        )


def _split(headers: Iterable[tuple[str, str]]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    labels: dict[str, str] = {}
    plain: list[tuple[str, str]] = []
    for name, value in headers:
        if name.lower().startswith(LABEL):
            labels[name.lower()[len(LABEL) :]] = value
        elif name.lower() not in _NOT_FORWARDED:
            plain.append((name, value))
    return labels, plain


def _suffix(url: str) -> str:
    """What stands behind the version path of the SDK's base url."""
    parts = urlsplit(url)
    path = parts.path
    for known in ("/chat/completions", "/completions", "/embeddings", "/responses", "/models"):
        at = path.rfind(known)
        if at >= 0:
            path = path[at:]
            break
    else:
        path = path.removeprefix("/v1")
    return path + (f"?{parts.query}" if parts.query else "")


def _headers(plain: list[tuple[str, str]], endpoint: Endpoint) -> list[tuple[str, str]]:
    own = {name.lower() for name in endpoint.headers}
    headers = [(name, value) for name, value in plain if name.lower() not in own]
    headers += list(endpoint.headers.items())
    headers.append(("Accept-Encoding", "identity"))
    headers.append((TOKENS_HEADER, "new"))
    headers.append(("Idempotency-Key", f"agentcore-rl-{uuid.uuid4()}"))
    if endpoint.api_key:
        headers.append(("Authorization", f"Bearer {endpoint.api_key.reveal()}"))
    return headers


def _retry_after(value: str | None) -> float | None:
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        # A date is wall-clock time by definition.
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
