"""Sessions as processes of this machine, through the local runtime in this very process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentcore_rl.exceptions import OutcomeUnknown, RetryLater
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.launchers.answers import immediate_answer, payload_bytes
from agentcore_rl.limits import Limiter, Quotas
from agentcore_rl.local_runtime import LocalRuntime
from agentcore_rl.local_runtime.faults import Faults
from agentcore_rl.local_runtime.gate import MEMORY_FLOOR_MIB
from agentcore_rl.local_runtime.refusals import Refused, ServiceError
from agentcore_rl.local_runtime.starting import Mode

__all__ = ["LocalLauncher"]


class LocalLauncher:
    """Starts each session as a process of its own on this machine.

    The local runtime behind it starts with the first session.

    Args:
        app: path of the app file, `:name` behind it where the file makes several apps.
        directory: where logs and spools of the sessions go; see `LocalRuntime`.
        env: environment variables of the sessions, on top of this process's own.
        limiter: its budget; share one among launchers that call the same place. None is unlimited.
        timeout_s: seconds until the app must have answered a start; they include importing it.
        mode, quotas, memory_floor_mib, idle_timeout_s, max_lifetime_s: see `LocalRuntime`. The quotas are
            what the machine refuses, the limiter is how the launcher keeps within them.

    Attributes:
        faults: what goes wrong on purpose; nothing until a rule is added.

    Raises:
        AppNotFound: there is no such file.
    """

    def __init__(
        self,
        app: str,
        *,
        directory: Path | None = None,
        env: Mapping[str, str] | None = None,
        limiter: Limiter | None = None,
        timeout_s: float = 300.0,
        mode: Mode = "auto",
        quotas: Quotas | None = None,
        memory_floor_mib: float = MEMORY_FLOOR_MIB,
        idle_timeout_s: float | None = None,
        max_lifetime_s: float | None = None,
    ) -> None:
        self._runtime = LocalRuntime(
            app,
            directory=directory,
            env=env,
            mode=mode,
            quotas=quotas,
            memory_floor_mib=memory_floor_mib,
            idle_timeout_s=idle_timeout_s,
            max_lifetime_s=max_lifetime_s,
        )
        self.faults: Faults = self._runtime.faults
        self._limiter = limiter or Limiter()
        self._timeout_s = timeout_s
        self._starting = asyncio.Lock()
        self._started = False

    @property
    def limiter(self) -> Limiter:
        """The budget of this machine; unlimited unless given."""
        return self._limiter

    async def start(self, session: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Deliver `payload` to the session, starting it if need be; the app's immediate answer."""
        body = payload_bytes(payload)
        async with self._starting:
            if not self._started:
                await asyncio.to_thread(self._runtime.start)
                self._started = True
        await self._limiter.interactions.take()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._runtime.invoke(session, body)
        except TimeoutError:
            raise OutcomeUnknown(
                f"The app gave no answer within {self._timeout_s:g} s; the log of session {session} is in "
                f"{self._runtime.directory / 'logs'}."
            ) from None
        except OSError as error:
            raise RetryLater(f"This machine could not start the session: {error}.") from error
        except RetryLater as error:
            self._note(error)
            raise
        return immediate_answer(*answer)

    async def status(self, session: str) -> SessionStatus:
        """What the session is doing now."""
        return await self._runtime.status(session) if self._started else SessionStatus.GONE

    async def stop(self, session: str) -> None:
        """End the session's process and all that it started."""
        if self._started:
            await self._limiter.interactions.take()
            await self._runtime.stop_session(session)

    def _note(self, error: RetryLater) -> None:
        """Slow down where the machine's quotas say so; what is full (402) is no matter of speed."""
        cause = error.__cause__
        if isinstance(cause, Refused) and cause.error is ServiceError.THROTTLED:
            self._limiter.interactions.throttled()
            self._limiter.new_sessions.throttled()

    async def aclose(self) -> None:
        """End all sessions and the runtime."""
        async with self._starting:
            await asyncio.to_thread(self._runtime.stop)
            self._started = False
