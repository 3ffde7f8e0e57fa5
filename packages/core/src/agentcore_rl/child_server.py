"""A server of ours as a child process, which says on one line where it listens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Self

from agentcore_rl.exceptions import ConfigurationError

__all__ = ["ChildServer", "end_with_stdin"]


class ChildServer(ABC):
    """A server in a process of its own, as a context manager: a class of each kind says what it runs.

    That is a module whose first line on stdout is a JSON object with its `base_url`, and which ends when its
    stdin closes. So it ends with this process, however that ends. Starting blocks: in a coroutine use
    `asyncio.to_thread`.

    Args:
        name: of the server, as in "The local model did not start".
        start_timeout_s: seconds until the start counts as failed.
        stop_s: seconds that it has to end by itself.
    """

    def __init__(self, name: str, *, start_timeout_s: float = 120.0, stop_s: float = 5.0) -> None:
        self._name, self._start_timeout_s, self._stop_s = name, start_timeout_s, stop_s
        self._process: subprocess.Popen[str] | None = None
        self._base_url = ""

    @abstractmethod
    def start(self) -> None:
        """Start it, and return when it answers; does nothing when it runs already."""

    @property
    def base_url(self) -> str:
        """For OpenAI clients, such as http://127.0.0.1:PORT/v1; empty before the start."""
        return self._base_url

    @property
    def pid(self) -> int | None:
        """Process id; None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def _run(
        self, module: str, arguments: Sequence[str], env: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Start a module; what it announces. Blocks until then.

        Args:
            module: what `python -m` runs.
            arguments: its command line.
            env: variables besides this process's own.

        Raises:
            ConfigurationError: it did not come up; the text ends with its last words.
        """
        command = [sys.executable, "-m", module, *arguments]
        # The working directory is no place for modules of a server.
        variables = {**os.environ, "PYTHONSAFEPATH": "1", **(env or {})}
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=variables,
                # Ctrl-C is for this process alone, which still needs the server while it ends what runs.
                process_group=0 if os.name == "posix" else None,
            )
            assert self._process.stdout is not None
            ready = self._first_line(self._process.stdout)
            if not ready:
                self.stop()
                log.seek(0)
                said = [line.strip() for line in log if line.strip()]
                last = said[-1] if said else f"no word for {self._start_timeout_s:g} s"
                raise ConfigurationError(f"{self._name} did not start: {last}")
        announced: Mapping[str, Any] = json.loads(ready)
        self._base_url = announced["base_url"]
        return announced

    def _first_line(self, out: IO[str]) -> str:
        """The server's announcement; empty if it ended or said nothing in time."""
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.append(out.readline()), daemon=True)
        reader.start()
        reader.join(self._start_timeout_s)
        return lines[0] if lines else ""

    def stop(self) -> None:
        """End it and wait until it has; does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def end_with_stdin(ended: Callable[[], None]) -> None:
    """In the child: call this once stdin closes, as the parent does that stops us, exits, or is killed."""

    def wait() -> None:
        while os.read(0, 1024):
            continue
        ended()

    threading.Thread(target=wait, name="until-stdin-closes", daemon=True).start()
