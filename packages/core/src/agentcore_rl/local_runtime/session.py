"""A session's process: imports the app and serves it on a socket that listens already.

Run as `python -m agentcore_rl.local_runtime.session SOCKET_FD PARENT_FD APP`; a process that is forked calls
`serve` itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from types import FrameType
from typing import TYPE_CHECKING, Any

from agentcore_rl.exceptions import AppNotFound
from agentcore_rl.local_runtime.app_file import load_app

if TYPE_CHECKING:
    from uvicorn import Config

__all__ = ["GRACE_S", "NO_APP", "NO_START", "app_or_exit", "config_of", "main", "serve", "watch_parent"]

NO_APP = 78
"""Exit status when the app cannot be loaded (EX_CONFIG); the log's last line says why."""
NO_START = 3
"""Exit status when the app's own start (its lifespan) failed."""
GRACE_S = 3
"""Seconds that running requests, and then the app's own shutdown, get."""


def main() -> None:
    """Serve one app until a signal or the parent's death ends the process."""
    listener, parent = int(sys.argv[1]), int(sys.argv[2])
    watch_parent(parent)
    sys.argv = sys.argv[3:]
    serve(config_of(app_or_exit(sys.argv[0])), listener)


def app_or_exit(app: str) -> Any:
    """The app of the file; where there is none the process ends with NO_APP, and says why."""
    try:
        return load_app(app)
    except AppNotFound as error:
        traceback.print_exception(error.__cause__)
        print(error, file=sys.stderr, flush=True)  # noqa: T201 - the log's last line is the session's verdict
        os._exit(NO_APP)  # threads that a half-imported app has left cannot hold the process


def config_of(app: Any, *, lifespan: str = "auto") -> Config:
    """How uvicorn serves an app in a session."""
    from uvicorn import Config

    return Config(
        app,
        http="h11",
        ws="none",
        lifespan=lifespan,  # type: ignore[arg-type] # a Literal there
        log_level=30,
        date_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


def serve(config: Config, listener: int) -> None:
    """Serve on a socket until a signal comes, then end the process with all that it started."""
    from uvicorn import Server

    class Quiet(Server):
        """Sleeps until a signal: uvicorn's own looks ten times a second, in each of a thousand processes."""

        async def main_loop(self) -> None:
            self._loop, self._signalled = asyncio.get_running_loop(), asyncio.Event()
            if not self.should_exit:
                await self._signalled.wait()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            if hasattr(self, "_loop"):
                self._loop.call_soon_threadsafe(self._signalled.set)

    server = Quiet(config)
    # uvicorn raises the signal again when it has shut down; then there is still something to do.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run(sockets=[socket.socket(fileno=listener)])
    if not server.started:
        os._exit(NO_START)
    os.killpg(0, signal.SIGKILL)  # a session ends with all that it started, as a microVM does


def watch_parent(pipe: int) -> None:
    """End this process, and all that it started, once the pipe's other end is closed.

    PR_SET_PDEATHSIG would do less: it follows the parent's thread, reaches none of the processes that
    the app started, and exists on Linux alone.
    """
    threading.Thread(target=_end_with_parent, args=(pipe,), name="parent-watch", daemon=True).start()


def _end_with_parent(pipe: int) -> None:
    with contextlib.suppress(OSError):
        os.read(pipe, 1)
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S + 2)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
