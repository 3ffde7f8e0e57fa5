"""The sessions of one app: found by id, started when first invoked, gone when they end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

from agentcore_rl.exceptions import LauncherError, SessionLost
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.launchers.answers import ping_status
from agentcore_rl.local_runtime.connection import Connection
from agentcore_rl.local_runtime.gate import Gate
from agentcore_rl.local_runtime.process import SessionProcess
from agentcore_rl.local_runtime.starting import ModeStarter

__all__ = ["SessionTable"]

_PING_S = 5.0


class SessionTable:
    """Sessions by id. Everything here runs on one event loop.

    Args:
        starter: what starts their processes.
        gate: what lets new ones in.
        directory: where logs and spools go.
        sockets: a folder with a short path, which other tables may use too.
        drain: gives what a dead session has left in its spool to where it belongs.
    """

    def __init__(
        self,
        starter: ModeStarter,
        gate: Gate,
        directory: Path,
        sockets: Path,
        drain: Callable[[Path], asyncio.Future[None]],
    ) -> None:
        self.starter, self._gate, self._drain = starter, gate, drain
        self._logs, self._spools, self._sockets = directory / "logs", directory / "spool", sockets
        self._logs.mkdir(parents=True, exist_ok=True)
        self._sessions: dict[str, SessionProcess] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._closed = False

    def is_there(self, session: str) -> bool:
        """Whether a session's process is there, and was not told to end."""
        process = self._sessions.get(session)
        return process is not None and process.alive

    def alive(self) -> list[SessionProcess]:
        """The sessions that are there."""
        return [process for process in self._sessions.values() if process.alive]

    async def reach(self, session: str) -> tuple[SessionProcess, Connection]:
        """A connection to a session, which is started if there is none (any more); the caller closes it.

        Raises:
            Refused: a new session is not let in.
            SessionLost: the runtime is shutting down.
        """
        while not self._closed:
            process = self._sessions.get(session)
            if process is None or process.ended:
                process = self._start(session)
            if process.alive:
                with contextlib.suppress(ConnectionError, FileNotFoundError):  # it ends just now
                    return process, await process.connect()
            await process.stop()
        raise SessionLost("The local runtime is shutting down.")

    def _start(self, session: str) -> SessionProcess:
        self._gate.new_session()
        name = session[:200]  # a file's name is shorter than the longest id; both files can be shared
        address, log = self._sockets / str(next(_numbers)), self._logs / f"{name}.log"
        try:
            process = SessionProcess(
                self.starter, address, log, self._spools / name, self._gate.session_ended, self._drain
            )
        except OSError:
            self._gate.session_ended()
            raise
        self._sessions[session] = process
        self._lives.add(process.life)
        process.life.add_done_callback(lambda life: self._forget(session, life))
        return process

    def _forget(self, session: str, life: asyncio.Task[None]) -> None:
        self._lives.discard(life)
        if self._sessions[session].life is life:
            del self._sessions[session]

    async def status(self, session: str) -> SessionStatus:
        """What a session is doing, by its own /ping; busy while its spool is drained after its end."""
        process = self._sessions.get(session)
        return SessionStatus.GONE if process is None else await self.status_of(process)

    async def status_of(self, process: SessionProcess) -> SessionStatus:
        """The same of a session that is at hand."""
        if process.life.done():
            return SessionStatus.GONE
        if process.ended:
            return SessionStatus.BUSY
        try:
            async with asyncio.timeout(_PING_S):
                connection = await process.connect(counts=False)
                await connection.ask("GET", "/ping")
                return ping_status(await connection.content())
        except (LauncherError, OSError):  # a timeout is an OSError
            return SessionStatus.UNKNOWN

    async def stop(self, session: str) -> bool:
        """End a session and what it started; whether there was one."""
        process = self._sessions.get(session)
        if process is None or process.ended:
            return False
        await process.stop()
        return True

    async def close(self) -> None:
        """End all sessions, and wait until their spools are drained; none is started any more."""
        self._closed = True
        self.starter.refuse()
        await asyncio.gather(*(process.stop() for process in list(self._sessions.values())))
        await self.starter.aclose()
        await asyncio.gather(*self._lives)


_numbers = itertools.count()
