"""Sessions on AgentCore Runtime, through the data plane of boto3."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from agentcore_rl.aws.clients import client, region_of
from agentcore_rl.aws.launch_errors import is_throttling, launcher_error
from agentcore_rl.aws.threads import CallThreads
from agentcore_rl.exceptions import ConfigurationError, LaunchRejected, OutcomeUnknown
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.launchers.answers import immediate_answer, payload_bytes
from agentcore_rl.limits import AGENTCORE_QUOTAS, Limiter

__all__ = ["AgentCoreLauncher"]

T = TypeVar("T")

LONGEST_PAYLOAD = 100_000_000
"""Bytes that InvokeAgentRuntime takes."""
LONGEST_ANSWER = 1_000_000
"""Bytes that an app's immediate answer may have; it has some hundred."""
_CHUNK = 65_536
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock-agentcore:[a-z0-9-]+:\d{12}:runtime/[a-zA-Z][A-Za-z0-9_-]{0,99}")
_STOPPING, _STOP_TIMEOUT_S, _STOP_TRIES = 16, 30.0, 3
_REMEMBERED = 5_000


class AgentCoreLauncher:
    """Starts each session as a microVM of Amazon Bedrock AgentCore Runtime.

    Calls block a thread while the session starts, so there are as many threads as starts may be under way:
    128 hold 25 starts a second with cold starts of 5 seconds. Nothing is repeated in here but stops: who
    starts a session repeats it, with the same session id.

    The service has no operation that tells whether a session lives. `status` is `gone` for what this launcher
    has stopped and for what is older than a session can be, else `unknown`.

    Args:
        runtime_arn: arn:aws:bedrock-agentcore:REGION:ACCOUNT:runtime/NAME-ID.
        qualifier: the runtime's endpoint.
        region: None: that of the ARN.
        endpoint_url: where the service is; None: what botocore finds.
        limiter: its budget; share one among launchers that call the same account. None: one of its
            own with AgentCore's documented quotas, `AGENTCORE_QUOTAS`.
        timeout_s: seconds until the app must have answered a start; a cold start is in them.
        max_lifetime_s: for how long a session can live, as the runtime's lifecycle configuration says it.
        threads: starts under way at once, at most.

    Raises:
        ConfigurationError: the ARN is none of a runtime, or a number is out of range.
    """

    def __init__(
        self,
        runtime_arn: str,
        *,
        qualifier: str = "DEFAULT",
        region: str | None = None,
        endpoint_url: str | None = None,
        limiter: Limiter | None = None,
        timeout_s: float = 300.0,
        max_lifetime_s: float = 28_800.0,
        threads: int = 128,
    ) -> None:
        if not _ARN.fullmatch(runtime_arn):
            raise ConfigurationError(
                f"{runtime_arn!r} is not the ARN of a runtime; it has the form "
                "arn:aws:bedrock-agentcore:REGION:ACCOUNT:runtime/NAME-ID."
            )
        for name, number in (
            ("timeout_s", timeout_s),
            ("max_lifetime_s", max_lifetime_s),
            ("threads", threads),
        ):
            if not number > 0:
                raise ConfigurationError(f"{name} must be above 0, not {number!r}.")
        self.runtime_arn, self.qualifier = runtime_arn, qualifier
        self._where = {"region": region or region_of(runtime_arn), "endpoint_url": endpoint_url}
        self._limiter = Limiter(AGENTCORE_QUOTAS) if limiter is None else limiter
        self._timeout_s, self._max_lifetime_s, self._most = timeout_s, max_lifetime_s, threads
        self._starts = CallThreads(threads, "agentcore-rl-start")
        # Stops have threads of their own: they end the very starts that may occupy all others.
        self._stops = CallThreads(_STOPPING, "agentcore-rl-stop")
        self._started: dict[str, float] = {}
        self._stopped: OrderedDict[str, None] = OrderedDict()

    def __repr__(self) -> str:
        return f"AgentCoreLauncher({self.runtime_arn!r}, qualifier={self.qualifier!r})"

    @property
    def limiter(self) -> Limiter:
        """The account's budget."""
        return self._limiter

    async def start(self, session: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Deliver `payload` to the session, starting it if need be; the app's immediate answer.

        Where this is cancelled, the call goes on in its thread, and the session may have started.

        Raises:
            RetryLater: throttled, over a quota, no connection, credentials that have expired, a
                failure of the service, or an app that says so.
            SessionLost: the container did not come up, or the app failed.
            LaunchRejected: not allowed, no such runtime, or the app refuses the payload.
            OutcomeUnknown: the call was sent and no whole answer came.
        """
        body = payload_bytes(payload)
        if len(body) > LONGEST_PAYLOAD:
            raise LaunchRejected(
                f"The payload has {len(body):,} bytes, and AgentCore Runtime takes {LONGEST_PAYLOAD:,}: "
                "put what is large where the agent can fetch it, and send its address."
            )
        await self._limiter.interactions.take()
        self._begin(session)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._starts.call(
                    lambda: self._call(session, lambda: self._invoke(session, body), starts=True)
                )
        except TimeoutError:
            raise OutcomeUnknown(
                f"{self.runtime_arn}: no whole answer came within {self._timeout_s:g} s; "
                f"the session {session} may have started."
            ) from None
        finally:
            if session in self._started:
                self._begin(session)
        return immediate_answer(*answer)

    async def status(self, session: str) -> SessionStatus:
        """`gone` for what was stopped here or is too old to live, else `unknown`; makes no call."""
        began = self._started.get(session)
        old = began is not None and time.monotonic() - began > self._max_lifetime_s
        return SessionStatus.GONE if old or session in self._stopped else SessionStatus.UNKNOWN

    async def stop(self, session: str) -> None:
        """End the session; one that is not there (any more) is fine.

        Raises:
            RetryLater, LaunchRejected, OutcomeUnknown, SessionLost: as `start`.
        """
        await self._limiter.interactions.take()
        await self._stops.call(
            lambda: self._call(session, lambda: self._stop(session, str(uuid.uuid4())), starts=False)
        )
        self._started.pop(session, None)
        self._stopped[session] = None
        while len(self._stopped) > _REMEMBERED:
            self._stopped.popitem(last=False)

    async def aclose(self) -> None:
        """End the threads without waiting for calls that hang; sessions are left to their owner."""
        self._starts.close()
        self._stops.close()

    def _begin(self, session: str) -> None:
        # From the last call on: a session that had ended starts anew with it.
        self._started[session] = time.monotonic()
        self._stopped.pop(session, None)

    # ── in threads

    def _call(self, session: str, call: Callable[[], T], *, starts: bool) -> T:
        try:
            return call()
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            if is_throttling(error):
                self._limiter.interactions.throttled()
                if starts:
                    self._limiter.new_sessions.throttled()
            raise launcher_error(error, arn=self.runtime_arn, session=session) from error

    def _invoke(self, session: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        # One request per call: a repetition is the caller's, who keeps the session id.
        data_plane = client(
            "bedrock-agentcore", **self._where, timeout_s=self._timeout_s, tries=1, pool=self._most
        )
        answer = data_plane.invoke_agent_runtime(
            agentRuntimeArn=self.runtime_arn,
            qualifier=self.qualifier,
            runtimeSessionId=session,
            contentType="application/json",
            accept="application/json",
            payload=body,
        )
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        with closing(answer["response"]) as stream:
            content = self._bounded(stream, headers.get("content-type", ""))
        return int(answer.get("statusCode") or 200), headers, content

    @staticmethod
    def _bounded(stream: Any, content_type: str) -> bytes:
        """The whole of a short answer."""
        if content_type.startswith("text/event-stream"):
            raise LaunchRejected(
                "The app answers a rollout with a stream of events instead of a JSON object; its entrypoint "
                "must be registered with @app.rollout_entrypoint."
            )
        content = bytearray()
        while chunk := stream.read(_CHUNK):
            content += chunk
            if len(content) > LONGEST_ANSWER:
                raise LaunchRejected(
                    f"The app's immediate answer has more than {LONGEST_ANSWER:,} bytes; results belong into "
                    "the record, so its entrypoint must be registered with @app.rollout_entrypoint."
                )
        return bytes(content)

    def _stop(self, session: str, token: str) -> None:
        data_plane = client(
            "bedrock-agentcore", **self._where, timeout_s=_STOP_TIMEOUT_S, tries=_STOP_TRIES, pool=_STOPPING
        )
        try:
            data_plane.stop_runtime_session(
                agentRuntimeArn=self.runtime_arn,
                qualifier=self.qualifier,
                runtimeSessionId=session,
                clientToken=token,
            )
        except data_plane.exceptions.ResourceNotFoundException:
            return
