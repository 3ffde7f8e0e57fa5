"""Sessions as processes of this machine, through the local runtime in this very process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentcore_rl.exceptions import LaunchRejected, OutcomeUnknown, RetryLater
from agentcore_rl.launchers import Limits, SessionStatus
from agentcore_rl.launchers.answers import immediate_answer, payload_bytes
from agentcore_rl.local_runtime import LocalRuntime

__all__ = ["LocalLauncher"]


class LocalLauncher:
    """Starts each session as a process of its own on this machine.

    The local runtime behind it starts with the first session.

    Args:
        app: path of the app file, `:name` behind it where the file makes several apps.
        directory: where logs and spools of the sessions go; see `LocalRuntime`.
        env: environment variables of the sessions, on top of this process's own.
        concurrent: sessions alive at once; None for no limit.
        timeout_s: seconds until the app must have answered a start; they include importing it.

    Raises:
        AppNotFound: there is no such file.
    """

    def __init__(
        self,
        app: str,
        *,
        directory: Path | None = None,
        env: Mapping[str, str] | None = None,
        concurrent: int | None = None,
        timeout_s: float = 300.0,
    ) -> None:
        self._runtime = LocalRuntime(app, directory=directory, env=env)
        self._limits = Limits(concurrent=concurrent)
        self._timeout_s = timeout_s
        self._starting = asyncio.Lock()
        self._started = False

    @property
    def limits(self) -> Limits:
        """What this machine allows."""
        return self._limits

    async def start(self, session: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Deliver `payload` to the session, starting it if need be; the app's immediate answer."""
        body = payload_bytes(payload)
        async with self._starting:
            if not self._started:
                await asyncio.to_thread(self._runtime.start)
                self._started = True
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
        except ValueError as error:
            raise LaunchRejected(str(error)) from error
        return immediate_answer(*answer)

    async def status(self, session: str) -> SessionStatus:
        """What the session is doing now."""
        return await self._runtime.status(session) if self._started else SessionStatus.GONE

    async def stop(self, session: str) -> None:
        """End the session's process and all that it started."""
        if self._started:
            await self._runtime.stop_session(session)

    async def aclose(self) -> None:
        """End all sessions and the runtime."""
        async with self._starting:
            await asyncio.to_thread(self._runtime.stop)
            self._started = False
