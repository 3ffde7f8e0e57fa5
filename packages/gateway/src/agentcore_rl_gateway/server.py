"""The gateway as an app: who calls what, bodies in, answers out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec

from agentcore_rl.logs import logger_of
from agentcore_rl_gateway.bodies import DENSE_FROM, refuse_dense
from agentcore_rl_gateway.calls import Calls
from agentcore_rl_gateway.chat import Ask, read_ask
from agentcore_rl_gateway.control import Control
from agentcore_rl_gateway.http.request import ClientLeft, Request
from agentcore_rl_gateway.out import Out
from agentcore_rl_gateway.refusals import CallRefused, Reply
from agentcore_rl_gateway.sessions import Session

__all__ = ["Bounds", "Gateway"]

logger = logger_of(__name__)

_READ_ON = 64 * 2**20
"""Bytes beyond the bound that are read and dropped: a client that still sends would not see its refusal."""
_LARGE_BODY = 2**20
_LONGEST_CALL_ID = 255
TOKENS_HEADER = b"agentcore-rl-tokens"
"""A client that sends `new` in it gets what a record lacks in its answers."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one gateway takes.

    Attributes:
        body_bytes: of a request at most.
        calls: that are answered at the same time.
        keep_alive_s: of silence in a stream before a comment is sent.
        slow_s: that a client may take to send the next bytes, or to take some.
        sweep_s: between looks for expired sessions.
    """

    body_bytes: int = 8 * 2**20
    calls: int = 4096
    keep_alive_s: float = 10.0
    slow_s: float = 60.0
    sweep_s: float = 1.0


class Gateway:
    """An OpenAI-compatible server in front of an engine.

    Args:
        calls: what answers and keeps calls; started and restored with the app, closed with it.
        admin_key: of the control route.
        bounds: what it takes.
    """

    def __init__(self, calls: Calls, admin_key: str, bounds: Bounds | None = None) -> None:
        self.calls = calls
        self.bounds = bounds or Bounds()
        self._control = Control(calls, admin_key)
        self._under_way = 0
        self._sweeper: asyncio.Task[None] | None = None

    async def __call__(self, request: Request) -> None:
        """Answer one request."""
        path, method = request.path, request.method
        try:
            if path == "/v1/chat/completions":
                if method != "POST":
                    raise _wrong_method(method, "POST")
                await self._chat(request)
                return
            reply = await self._other(method, path, request)
        except CallRefused as refusal:
            reply = refusal.reply()
        except OSError as error:
            reply = CallRefused(
                f"The gateway's log cannot be written ({error.strerror or error}): make room on its disk.",
                status=503,
                code="log_unwritable",
            ).reply()
        await request.answer(reply.status, reply.headers, reply.body)

    # ---- life

    async def start(self) -> None:
        """Restore what the log says and reach the engine; call it once, before the first request."""
        await asyncio.to_thread(self.calls.restore)
        await self.calls.mode.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def close(self) -> None:
        """Let go of the engine and close the log."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        await self.calls.mode.close()
        self.calls.log.close()

    async def _sweep(self) -> None:
        """End sessions whose time is over, so that their memory is freed though nobody revokes them."""
        while True:
            await asyncio.sleep(self.bounds.sweep_s)
            for session in self.calls.sessions.expired():
                try:
                    await self.calls.end(session, "expired")
                except OSError as error:
                    logger.error("the end of session %s is not in the log: %s", session.id, error)
                    self.calls.sessions.close(session, "expired")  # a restart knows that its time is over

    # ---- requests

    async def _other(self, method: str, path: str, request: Request) -> Reply:
        if path.startswith("/control/") or path == "/control":
            self._control.admit(_bearer(request))
            body = await self._body(request)
            return await self._control.answer(method, path, body)
        pages = {"/healthz": self._health, "/metrics": self._metrics, "/v1/models": self._models}
        page = pages.get(path)
        if page is None:
            raise CallRefused(
                f"There is no {method} {path[:200]} here: this gateway serves POST /v1/chat/completions, "
                "/v1/models, /healthz, /metrics and /control.",
                status=404,
                code="not_found",
            )
        if method not in ("GET", "HEAD"):
            raise _wrong_method(method, "GET")
        return await page(request)

    async def _health(self, _: Request) -> Reply:
        ready = await self.calls.mode.ready()
        said = {
            "status": "ok" if ready else "engine down",
            "mode": self.calls.mode.name,
            "policy_version": self.calls.gate.version,
        }
        dialect = getattr(self.calls.mode, "dialect", None)
        if dialect is not None:
            said["token_ids"] = dialect.name
        reason = getattr(self.calls.mode, "reason", "")
        if reason:
            said["captured_because"] = reason
        return Reply(200 if ready else 503, msgspec.json.encode(said))

    async def _metrics(self, _: Request) -> Reply:
        sessions = list(self.calls.sessions)
        gauges = {
            "sessions": float(len(sessions)),
            "calls_under_way": float(self._under_way),
            "policy_version": float(self.calls.gate.version if self.calls.gate.version is not None else -1),
            "unaccounted_tokens": float(sum(session.counts.balance() for session in sessions)),
        }
        text = self.calls.metrics.text(gauges).encode()
        return Reply(200, text, ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),))

    async def _models(self, request: Request) -> Reply:
        session = self.calls.sessions.admit(_bearer(request))
        cards = await self.calls.mode.models()
        allowed = [card for card in cards if session.model in (None, card.get("id"))]
        if session.model is not None and not allowed:
            allowed = [{"id": session.model, "object": "model", "created": 0, "owned_by": "gateway"}]
        return Reply(200, msgspec.json.encode({"object": "list", "data": allowed}))

    async def _chat(self, request: Request) -> None:
        session = self.calls.sessions.admit(_bearer(request))
        if self._under_way >= self.bounds.calls:
            raise CallRefused(
                f"{self._under_way} calls are under way and no more are answered at once: try later.",
                status=503,
                code="overloaded",
                headers={"Retry-After": "1"},
            )
        self._under_way += 1
        out: Out | None = None
        try:
            body = request.at_hand(self.bounds.body_bytes)
            if body is None:
                body = await self._body(request)
            if len(body) >= DENSE_FROM:
                await refuse_dense(body)
            call_id = request.header(b"idempotency-key")
            if len(call_id) > _LONGEST_CALL_ID:
                raise CallRefused(f"An Idempotency-Key has at most {_LONGEST_CALL_ID} characters.")
            ask = (
                _ask(body, session, call_id)
                if len(body) <= _LARGE_BODY
                else await asyncio.to_thread(_ask, body, session, call_id)
            )
            ask.tokens = request.headers.get(TOKENS_HEADER) == b"new"
            out = Out(request, stream=ask.stream, keep_alive_s=self.bounds.keep_alive_s)
            await _watched(self.calls.run(session, ask, out), session, request)
        except CallRefused as refusal:
            if out is None:
                raise
            await out.refuse(refusal)
        finally:
            self._under_way -= 1
            if out is not None:
                out.close()

    async def _body(self, request: Request) -> bytes:
        most = self.bounds.body_bytes
        length = request.headers.get(b"content-length", b"")
        announced = int(length) if length.isdigit() else 0
        if announced > most + _READ_ON:
            raise _too_large(most)
        parts: list[bytes] = []
        size = 0
        while True:
            try:
                part = await request.take(self.bounds.slow_s)
            except TimeoutError:
                raise CallRefused(
                    f"The request's body did not come: nothing for {self.bounds.slow_s:g} s.", status=408
                ) from None
            size += len(part)
            if size <= most:
                parts.append(part)
            elif size > most + _READ_ON:
                raise _too_large(most)
            if request.whole and not request.waiting:
                break
        if size > most:
            raise _too_large(most)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _ask(body: bytes, session: Session, call_id: str) -> Ask:
    return read_ask(body, model=session.model, sampling=session.sampling, call_id=call_id)


async def _watched(run: Coroutine[Any, Any, None], session: Session, request: Request) -> None:
    """Run a call to its end, or until its client leaves or its session ends."""
    task = request.task
    assert task is not None
    session.tasks.add(task)
    request.when_gone(task.cancel)
    try:
        await run
    except asyncio.CancelledError:
        if request.gone:
            task.uncancel()
            raise ClientLeft from None
        if session.closed is None:
            raise  # the gateway ends
        task.uncancel()
        raise CallRefused(
            "The session of this call was ended while it ran; its key is of no use any more.",
            status=401,
            kind="authentication_error",
            code="session_ended",
        ) from None
    finally:
        request.when_gone(None)
        session.tasks.discard(task)


def _bearer(request: Request) -> str:
    given = request.header(b"authorization")
    return given[7:].strip() if given[:7].lower() == "bearer " else ""


def _too_large(most: int) -> CallRefused:
    return CallRefused(
        f"The request is larger than {most} bytes, which is the most that this gateway takes.",
        status=413,
        code="request_too_large",
    )


def _wrong_method(method: str, allowed: str) -> CallRefused:
    return CallRefused(
        f"{method} is not served here; there is {allowed}.", status=405, headers={"Allow": allowed}
    )
