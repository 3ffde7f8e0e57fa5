"""The sessions of one runtime: found by id, started when first invoked, gone when they end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from agentcore_rl.exceptions import LauncherError, SessionLost
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.launchers.answers import ping_status
from agentcore_rl.local_runtime.connection import Connection
from agentcore_rl.local_runtime.process import OnEnd, SessionProcess

__all__ = ["SessionTable"]

_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{32,255}")
_PING_S = 5.0


class SessionTable:
    """Sessions by id. Everything here runs on one event loop.

    Args:
        app: the app file.
        directory: where logs and spools go.
        sockets: a folder with a short path.
        env: environment of the sessions.
        on_end: called in a thread with the spool folder of each session that has ended.
    """

    def __init__(
        self, app: str, directory: Path, sockets: Path, env: Mapping[str, str], on_end: OnEnd
    ) -> None:
        self._app, self._env, self._on_end = app, env, on_end
        self._logs, self._spools, self._sockets = directory / "logs", directory / "spool", sockets
        self._logs.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count()
        self._sessions: dict[str, SessionProcess] = {}
        self._lives: set[asyncio.Task[None]] = set()
        self._closed = False

    async def invoke(self, session: str, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Connection:
        """Deliver a payload to a session, which is started if there is none (any more).

        Returns:
            The connection, with the head of the app's answer read; the caller closes it.

        Raises:
            ValueError: the id is malformed.
            LaunchRejected: the app cannot be loaded.
            SessionLost: the session died, or gave no answer.
        """
        if not _SESSION.fullmatch(session):
            raise ValueError(f"A session id has 33 to 256 characters of [A-Za-z0-9-_], not {session!r}.")
        connection = await self._connect(session)
        await connection.ask("POST", "/invocations", headers, body)
        return connection

    async def _connect(self, session: str) -> Connection:
        while not self._closed:
            process = self._sessions.get(session)
            if process is None or process.ended:
                process = self._start(session)
            if process.alive:
                with contextlib.suppress(ConnectionError, FileNotFoundError):  # it ends just now
                    return await process.connect()
            await process.stop()
        raise SessionLost("The local runtime is shutting down.")

    def _start(self, session: str) -> SessionProcess:
        name = session[:200]  # a file's name is shorter than the longest id; both files can be shared
        address, log = self._sockets / str(next(self._numbers)), self._logs / f"{name}.log"
        process = SessionProcess(self._app, address, log, self._spools / name, self._env, self._on_end)
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
        if process is None or process.life.done():
            return SessionStatus.GONE
        if process.ended:
            return SessionStatus.BUSY
        try:
            async with asyncio.timeout(_PING_S):
                connection = await process.connect()
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
        await asyncio.gather(*(process.stop() for process in list(self._sessions.values())))
        await asyncio.gather(*self._lives)
