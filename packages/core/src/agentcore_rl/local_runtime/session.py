"""A session's process: imports the app and serves it on a socket that listens already.

Run as `python -m agentcore_rl.local_runtime.session SOCKET_FD PARENT_FD APP`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback

from agentcore_rl.exceptions import AppNotFound
from agentcore_rl.local_runtime.app_file import load_app

NO_APP = 78
"""Exit status when the app cannot be loaded (EX_CONFIG); the log's last line says why."""
NO_START = 3
"""Exit status when the app's own start (its lifespan) failed."""
GRACE_S = 3
"""Seconds that running requests, and then the app's own shutdown, get."""


def main() -> None:
    """Serve one app until a signal or the parent's death ends the process."""
    listener, parent = int(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=_end_with_parent, args=(parent,), name="parent-watch", daemon=True).start()
    sys.argv = sys.argv[3:]
    try:
        app = load_app(sys.argv[0])
    except AppNotFound as error:
        traceback.print_exception(error.__cause__)
        print(error, file=sys.stderr, flush=True)  # noqa: T201 - the log's last line is the session's verdict
        os._exit(NO_APP)  # threads that a half-imported app has left cannot hold the process

    import uvicorn

    config = uvicorn.Config(app, http="h11", ws="none", log_level=30, timeout_graceful_shutdown=GRACE_S)
    server = uvicorn.Server(config)
    # uvicorn raises the signal again when it has shut down; then there is still something to do.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run(sockets=[socket.socket(fileno=listener)])
    if not server.started:
        os._exit(NO_START)
    os.killpg(0, signal.SIGKILL)  # a session ends with all that it started, as a microVM does


def _end_with_parent(pipe: int) -> None:
    """End this process and all that it started once the pipe's other end is closed.

    PR_SET_PDEATHSIG would do less: it follows the parent's thread, reaches none of the processes that
    the app started, and exists on Linux alone.
    """
    with contextlib.suppress(OSError):
        os.read(pipe, 1)
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S + 2)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
