"""One session: its process, its log, its spool folder and the socket that it serves."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from agentcore_rl.exceptions import LauncherError, LaunchRejected, SessionLost
from agentcore_rl.local_runtime.child import Child, Starter
from agentcore_rl.local_runtime.connection import Connection
from agentcore_rl.local_runtime.session import GRACE_S, NO_APP

__all__ = ["SessionProcess"]

_BACKLOG = 1024


class SessionProcess:
    """A session's process, from the first invoke to its end.

    The socket listens before the process exists, so that requests queue in the kernel while the app
    is imported: no port to choose, nothing to poll.

    Args:
        starter: what starts the process.
        address: path of the Unix socket.
        log: where the process's output goes.
        spool: the session's spool folder.
        exited: called when the process has ended.
        drain: gives what the dead process has left in its spool to where it belongs.

    Attributes:
        life: ends when the process has ended and its spool is drained.
        log: as given.
        calls: calls that wait for an answer, or for the rest of one.
        born: when the process began, on the loop's clock; infinity before.
        quiet_since: when it was last known to do something, on the same clock.
        look_at: when its /ping is to be asked next; None: when it has been quiet for long enough.
    """

    def __init__(
        self,
        starter: Starter,
        address: Path,
        log: Path,
        spool: Path,
        exited: Callable[[], None],
        drain: Callable[[Path], asyncio.Future[None]],
    ) -> None:
        self._address, self.log, self._spool = address, log, spool
        self._on_exit, self._drain = exited, drain
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen(_BACKLOG)
        self._child: Child | None = None
        self._trouble: Exception | None = None
        self._refusal: LauncherError | None = None
        self._started, self._exited = asyncio.Event(), asyncio.Event()
        self._ending = ""
        self.calls = 0
        self.born, self.quiet_since = math.inf, asyncio.get_running_loop().time()
        self.look_at: float | None = None
        self.life = asyncio.create_task(self._live(starter))

    async def _live(self, starter: Starter) -> None:
        with contextlib.ExitStack() as passed:
            # Once they are closed here only the process holds them: its death resets who waits for an answer.
            passed.enter_context(self._listener)
            passed.callback(self._started.set)
            try:
                log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                passed.callback(os.close, log)
                env = {"AGENTCORE_RL_SPOOL": str(self._spool)}
                self._child = await starter.start(self._listener.fileno(), log, env)
                self.born = self.quiet_since = asyncio.get_running_loop().time()
            except (OSError, RuntimeError) as error:  # the latter: no thread can be started
                self._trouble = error
            except LauncherError as error:
                self._refusal = error
        if self._child is not None:
            await self._child.wait()
            self._child.signal(signal.SIGKILL)
        self._exited.set()
        self._on_exit()
        os.unlink(self._address)
        await self._drain(self._spool)

    async def connect(self, *, counts: bool = True) -> Connection:
        """A connection; the kernel queues it until the process serves it.

        Args:
            counts: whether it shows that the session is used.

        Raises:
            OSError: the process has ended.
        """
        self.calls += counts
        try:
            streams = await asyncio.open_unix_connection(str(self._address))
        except BaseException:
            self.calls -= counts
            raise
        return Connection(*streams, self.loss, self._called if counts else lambda: None)

    def _called(self) -> None:
        self.calls -= 1
        self.quiet_since = asyncio.get_running_loop().time()

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._exited.is_set()

    @property
    def alive(self) -> bool:
        """Whether the process is there, or about to be, and was not told to stop."""
        return not self._ending and not self.ended

    async def stop(self, reason: str = "was stopped") -> None:
        """End the process and all that it started, with a few seconds to shut down.

        Args:
            reason: what callers hear that still wait: "The session ...".
        """
        self._ending = self._ending or reason
        await self._started.wait()
        if not self.ended:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), GRACE_S + 2)
            self._signal(signal.SIGKILL)
            await self._exited.wait()

    async def kill(self) -> None:
        """End the process at once, as if something had killed it."""
        await self._started.wait()
        self._signal(signal.SIGKILL)
        await self._exited.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.signal(number)

    async def loss(self) -> LauncherError:
        """Why a request got no answer: what ended the process, if it has ended."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), GRACE_S)
        if self._ending:
            return SessionLost(f"The session {self._ending}; its log is {self.log}.")
        if self._refusal is not None:
            return type(self._refusal)(f"{self._refusal} The session's log is {self.log}.")
        if self._trouble is not None:
            return SessionLost(f"The session's process could not be started: {self._trouble}.")
        last = _last_line(self.log)
        if not self.ended or self._child is None:
            return SessionLost(f"The app broke off without a whole answer; its log is {self.log}.")
        code = self._child.code
        if code == NO_APP:
            return LaunchRejected(f"{last} The session's log is {self.log}.")
        said = f" The log's last line: {last}" if last else ""
        return SessionLost(f"The session's process ended{_how(code)}; its log is {self.log}.{said}")


def _how(code: int | None) -> str:
    if code is None:
        return ""
    if code >= 0:
        return f" with exit status {code}"
    try:
        return f" by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f" by signal {-code}"


def _last_line(log: Path) -> str:
    with contextlib.suppress(OSError, IndexError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        return file.read().decode("utf-8", "replace").strip().splitlines()[-1].strip()[:1000]
    return ""
