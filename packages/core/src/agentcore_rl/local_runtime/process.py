"""One session: its process, its log, its spool folder and the socket that it serves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from agentcore_rl.exceptions import LauncherError, LaunchRejected, SessionLost
from agentcore_rl.local_runtime.connection import Connection
from agentcore_rl.local_runtime.session import GRACE_S, NO_APP

__all__ = ["OnEnd", "SessionProcess"]

OnEnd = Callable[[Path], None]
"""Called in a thread with the spool folder of a session that has ended."""
_BACKLOG = 1024


class SessionProcess:
    """A session's process, from the first invoke to its end.

    The socket listens before the process exists, so that requests queue in the kernel while the app
    is imported: no port to choose, nothing to poll.

    Args:
        app: the app file.
        address: path of the Unix socket.
        log: where the process's output goes.
        spool: the session's spool folder.
        env: environment of the process.
        on_end: called in a thread with the spool folder once the process has ended.

    Attributes:
        life: ends when the process has ended and its spool is drained.
    """

    def __init__(
        self, app: str, address: Path, log: Path, spool: Path, env: Mapping[str, str], on_end: OnEnd
    ) -> None:
        self._address, self._log, self._spool, self._on_end = address, log, spool, on_end
        self._env = {**env, "AGENTCORE_RL_SPOOL": str(spool), "PYTHONUNBUFFERED": "1"}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen(_BACKLOG)
        self._process: asyncio.subprocess.Process | None = None
        self._trouble: OSError | None = None
        self._spawned, self._exited = asyncio.Event(), asyncio.Event()
        self._stopped = False
        self.life = asyncio.create_task(self._live(app))

    async def _live(self, app: str) -> None:
        kept = None
        with contextlib.ExitStack() as passed:
            # Once they are closed here only the process holds them: its death resets who waits for an answer.
            passed.enter_context(self._listener)
            passed.callback(self._spawned.set)
            try:
                watched, kept = os.pipe()
                passed.callback(os.close, watched)
                log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                passed.callback(os.close, log)
                fds, module = (self._listener.fileno(), watched), "agentcore_rl.local_runtime.session"
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", module, *map(str, fds), app),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._env,
                    pass_fds=fds,
                    start_new_session=True,
                )
            except OSError as error:
                self._trouble = error
        if self._process is not None:
            await self._process.wait()
            self._signal(signal.SIGKILL)
        self._exited.set()
        if kept is not None:
            os.close(kept)
        os.unlink(self._address)
        await asyncio.to_thread(self._on_end, self._spool)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    async def connect(self) -> Connection:
        """A connection; the kernel queues it until the process serves it.

        Raises:
            OSError: the process has ended.
        """
        return Connection(*await asyncio.open_unix_connection(str(self._address)), self._loss)

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._exited.is_set()

    @property
    def alive(self) -> bool:
        """Whether the process is there, or about to be, and was not told to stop."""
        return not self._stopped and not self.ended

    async def stop(self) -> None:
        """End the process and all that it started, with a few seconds to shut down."""
        self._stopped = True
        await self._spawned.wait()
        if not self.ended:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), GRACE_S + 2)
            self._signal(signal.SIGKILL)
            await self._exited.wait()

    async def _loss(self) -> LauncherError:
        """Why a request got no answer: what ended the process, if it has ended."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), GRACE_S)
        code = None if self._process is None else self._process.returncode
        last = _last_line(self._log)
        if self._stopped:
            return SessionLost(f"The session was stopped; its log is {self._log}.")
        if code == NO_APP:
            return LaunchRejected(f"{last} The session's log is {self._log}.")
        if self._trouble is not None:
            return SessionLost(f"The session's process could not be started: {self._trouble}.")
        if code is None:
            return SessionLost(f"The app broke off without a whole answer; its log is {self._log}.")
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
        said = f" The log's last line: {last}" if last else ""
        return SessionLost(f"The session's process ended {how}; its log is {self._log}.{said}")


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError, IndexError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        return file.read().decode("utf-8", "replace").strip().splitlines()[-1].strip()[:1000]
    return ""
