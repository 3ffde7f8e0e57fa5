"""A session's process as its runtime sees it, however it was started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

__all__ = ["Child", "Starter", "on_exit"]


class Child:
    """A process in a process group of its own.

    Args:
        pid: its id, and its group's.

    Attributes:
        code: exit status, or minus the number of the signal; None while it lives, and when nobody
            heard it because the process that could have died before.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self._ended = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def end(self, code: int | None) -> None:
        """It has ended; said once by who started it, a second time changes nothing."""
        if not self.ended:
            self.code = code
            self._ended.set()

    async def wait(self) -> None:
        """Return when it has ended."""
        await self._ended.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                if self.ended:
                    raise
                # Just forked, it has no group of its own yet, and has started nothing.
                os.kill(self.pid, number)


class Starter(Protocol):
    """Starts processes that serve one app."""

    async def start(self, listener: int, log: int, env: Mapping[str, str]) -> Child:
        """Start a process; the caller closes the two descriptors of its own when this returns.

        Args:
            listener: the socket that it serves, listening.
            log: file for its output.
            env: variables on top of the app's environment.

        Raises:
            LaunchRejected: the app cannot be loaded; the log says why.
            OSError: this machine cannot start a process.
        """
        ...

    async def aclose(self) -> None:
        """Start nothing any more; what waits for a start hears that it failed."""
        ...


def on_exit(process: subprocess.Popen[bytes], ended: Callable[[int], None]) -> None:
    """Call `ended` on this event loop, with the return code, once the process has ended; reaps it."""
    loop = asyncio.get_running_loop()
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # a kernel without
            handle = os.pidfd_open(process.pid)

            def reap() -> None:
                loop.remove_reader(handle)
                os.close(handle)
                ended(process.wait())

            loop.add_reader(handle, reap)
            return

    def wait() -> None:
        code = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(ended, code)

    threading.Thread(target=wait, name=f"wait-{process.pid}", daemon=True).start()
