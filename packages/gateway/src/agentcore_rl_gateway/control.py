"""The control route: the trainer's side issues and ends sessions, and publishes policy versions."""

from __future__ import annotations

import asyncio
import hmac
import re
from typing import Any

import msgspec

from agentcore_rl_gateway.calls import Calls
from agentcore_rl_gateway.chat import NOT_SAMPLING
from agentcore_rl_gateway.log import PolicySet
from agentcore_rl_gateway.refusals import CallRefused, Reply
from agentcore_rl_gateway.training import rows_told

__all__ = ["Control"]

_NAME = re.compile(r"[A-Za-z0-9._:@/+=-]{1,200}")
_DEFAULT_TTL_S = 3600.0
_LONGEST_TTL_S = 7 * 86_400.0


class Control:
    """Answers below `/control`.

    POST /control/sessions            {"session", "ttl_s", "model", "sampling"} -> its key, told this once
    GET /control/sessions             all open ones
    GET /control/sessions/ID          counts of calls and tokens, and the digest
    GET /control/sessions/ID/rows     its training rows so far, and where each sampled id went
    DELETE /control/sessions/ID       end it; what GET would have told last
    GET /control/policy               the version in force
    POST /control/policy              {"version", "timeout_s"}: waits until no call is inside, then sets it
    POST /control/policy/hold         {"timeout_s"}: let no call in and wait until none is inside
    POST /control/policy/release      let calls in again, under the version that was

    Args:
        calls: every call, and the sessions.
        admin_key: what the requests must carry.
    """

    def __init__(self, calls: Calls, admin_key: str) -> None:
        self._calls = calls
        self._admin_key = admin_key.encode()

    def admit(self, key: str) -> None:
        """Let the trainer's side in.

        Raises:
            CallRefused: 401 for another key.
        """
        if not hmac.compare_digest(key.encode("utf-8", "surrogatepass"), self._admin_key):
            raise CallRefused(
                "The control route wants the admin key: send it as `Authorization: Bearer KEY`.",
                status=401,
                kind="authentication_error",
                code="invalid_admin_key",
            )

    async def answer(self, method: str, path: str, body: bytes) -> Reply:
        """Answer one request of whoever was let in.

        Raises:
            CallRefused: a wrong path or body.
        """
        parts = path.strip("/").split("/")[1:]
        if parts[:1] == ["sessions"]:
            return await self._sessions(method, "/".join(parts[1:]), body)
        if parts[:1] == ["policy"]:
            return await self._policy(method, "/".join(parts[1:]), body)
        raise _nothing(path)

    async def _sessions(self, method: str, name: str, body: bytes) -> Reply:
        sessions = self._calls.sessions
        if not name:
            if method == "GET":
                return _json(200, {"sessions": [session.summary() for session in sessions]})
            if method == "POST":
                return self._open(_object(body))
            raise _wrong_method(method, "GET, POST")
        session = sessions.find(name)
        of_rows = session is None and name.endswith("/rows")
        if of_rows:
            session = sessions.find(name.removesuffix("/rows"))
        if session is None:
            raise CallRefused(
                f"There is no open session {name[:200]!r}.", status=404, code="session_not_found"
            )
        if of_rows:
            if method != "GET":
                raise _wrong_method(method, "GET")
            return Reply(200, await asyncio.to_thread(rows_told, self._calls.log, session))
        if method == "GET":
            return _json(200, session.summary())
        if method == "DELETE":
            return _json(200, await self._calls.end(session, "revoked"))
        raise _wrong_method(method, "GET, DELETE")

    def _open(self, asked: dict[str, Any]) -> Reply:
        unknown = asked.keys() - {"session", "ttl_s", "model", "sampling"}
        if unknown:
            raise CallRefused(f"A session has no {', '.join(sorted(unknown))}.", param=min(unknown))
        name, model = asked.get("session"), asked.get("model")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise CallRefused(
                "`session` must be 1 to 200 letters, digits and . _ : @ / + = -", param="session"
            )
        if model is not None and not isinstance(model, str):
            raise CallRefused("`model` must be a string, or null for any model.", param="model")
        sampling = asked.get("sampling") or {}
        if not isinstance(sampling, dict):
            raise CallRefused("`sampling` must be an object.", param="sampling")
        refused = sorted(NOT_SAMPLING & sampling.keys())
        if refused:
            raise CallRefused(f"{', '.join(refused)} cannot be decided for a session.", param="sampling")
        try:
            msgspec.msgpack.encode(sampling)  # as the log will
        except (OverflowError, RecursionError):
            raise CallRefused(
                "`sampling` has an integer beyond 64 bits, or is nested too deeply.", param="sampling"
            ) from None
        ttl = _seconds(asked, "ttl_s", _DEFAULT_TTL_S, _LONGEST_TTL_S)
        key, opened = self._calls.sessions.open(name, ttl_s=ttl, model=model, sampling=sampling)
        self._calls.log.append(opened)
        self._calls.sessions.restore(opened)
        return _json(201, {"session": name, "key": key, "expires_at": opened.expires})

    async def _policy(self, method: str, action: str, body: bytes) -> Reply:
        gate = self._calls.gate
        if method == "GET" and not action:
            return _json(200, {"version": gate.version, "held": gate.held, "inside": gate.inside})
        if method != "POST":
            raise _wrong_method(method, "GET, POST")
        asked = _object(body) if body.strip() else {}
        timeout = _seconds(asked, "timeout_s", 600.0, 86_400.0)
        if action == "release":
            gate.release()
        elif action == "hold":
            if not await gate.hold(timeout):
                raise _still_inside(gate.inside, timeout)
        elif not action:
            await self._publish(asked.get("version"), within_s=timeout)
        else:
            raise _nothing(f"/control/policy/{action}")
        return _json(200, {"version": gate.version, "held": gate.held, "inside": gate.inside})

    async def _publish(self, version: Any, *, within_s: float) -> None:
        gate = self._calls.gate
        if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version < 2**63:
            raise CallRefused("`version` must be an integer from 0, of at most 63 bits.", param="version")
        try:
            async with asyncio.timeout(within_s):
                await gate.publishing.acquire()
        except TimeoutError:
            raise _still_inside(gate.inside, within_s) from None
        try:
            if gate.version is not None and version < gate.version:
                raise CallRefused(
                    f"Version {gate.version} is in force and {version} is older: versions only rise.",
                    status=409,
                    param="version",
                )
            held = gate.held
            try:
                if not await gate.hold(within_s):
                    raise _still_inside(gate.inside, within_s)
                self._calls.log.append(PolicySet(version))
            except BaseException:
                if not held:
                    gate.release()
                raise
            gate.publish(version)
        finally:
            gate.publishing.release()


def _object(body: bytes) -> dict[str, Any]:
    try:
        asked = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise CallRefused("The request is not JSON.", code="invalid_json") from None
    if not isinstance(asked, dict):
        raise CallRefused("The request must be a JSON object.")
    return asked


def _seconds(asked: dict[str, Any], name: str, default: float, most: float) -> float:
    value = asked.get(name, default)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
    if not fits:
        raise CallRefused(f"`{name}` must be seconds above 0 and up to {most:g}.", param=name)
    return float(value)


def _json(status: int, value: Any) -> Reply:
    return Reply(status, msgspec.json.encode(value))


def _nothing(path: str) -> CallRefused:
    return CallRefused(f"There is nothing at {path[:200]}.", status=404, code="not_found")


def _wrong_method(method: str, allowed: str) -> CallRefused:
    return CallRefused(
        f"{method} is not served here; there is {allowed}.", status=405, headers={"Allow": allowed}
    )


def _still_inside(inside: int, seconds: float) -> CallRefused:
    return CallRefused(
        f"{inside} calls were still being sampled after {seconds:g} s: wait longer, or end their sessions.",
        status=409,
        code="calls_inside",
    )
