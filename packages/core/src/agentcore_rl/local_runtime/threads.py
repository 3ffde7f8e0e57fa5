"""Which import left a thread behind, so that sessions cannot be forked.

Run as `python -m agentcore_rl.local_runtime.threads CONTROL_FD APP`: imports the app under a profiling hook,
and sends {"threads_of": [what started one, ...]}. That is slow, and never where sessions are forked from.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import socket
import sys
import threading
from types import FrameType
from typing import Any

from agentcore_rl.exceptions import AppNotFound

__all__ = ["ThreadWitness", "main", "native_threads"]

_NOT_THE_CAUSE = ("threading", "concurrent.", "importlib", "asyncio", "anyio.", __name__)
_MOST = 3


def native_threads() -> int:
    """Threads of this process, those of native libraries among them; where nobody says so, Python's."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


class ThreadWitness:
    """Sees which module starts a thread while an app is imported.

    A thread that Python starts is seen with the line that did. One of a native library shows as a higher
    count when a module's code begins or ends, and is put down to the module that ran: a best guess.

    Attributes:
        seen: what started threads, in order, the first few.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._running = ["the interpreter's start"]
        self._count = native_threads()
        # Python 3.11 raises no audit event when a thread starts.
        sys.setprofile(self._see)

    def _see(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call":
            if called is _thread.start_new_thread:
                self._add(_place(frame))
                self._count += 1
        elif frame.f_code.co_name == "<module>" and event in ("call", "return"):
            self._look()
            if event == "call":
                self._running.append(str(frame.f_globals.get("__name__", "")))
            elif len(self._running) > 1:
                self._running.pop()

    def _look(self) -> None:
        count = native_threads()
        if count > self._count:
            self._add(f"native code in {self._running[-1]}")
        self._count = count

    def _add(self, sentence: str) -> None:
        if sentence not in self.seen and len(self.seen) < _MOST:
            self.seen.append(sentence)


def _place(frame: FrameType | None) -> str:
    """The nearest line of a stack that is not the machinery of threads."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not f"{name}.".startswith(_NOT_THE_CAUSE):
            return f"{name}, line {frame.f_lineno}"
        frame = frame.f_back
    return "a module that cannot be told"


def main() -> None:
    """Import the app and tell."""
    from agentcore_rl.local_runtime.app_file import load_app

    control = socket.socket(fileno=int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    witness = ThreadWitness()
    with contextlib.suppress(AppNotFound):
        load_app(sys.argv[0])
    sys.setprofile(None)
    control.send(json.dumps({"threads_of": witness.seen}).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
