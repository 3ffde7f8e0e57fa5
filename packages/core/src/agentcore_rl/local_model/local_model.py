"""LocalModel: the server as a child process of this one."""

import json
import subprocess
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from agentcore_rl.exceptions import ConfigurationError, MissingDependencyError
from agentcore_rl.local_model.model_file import find_model

__all__ = ["LocalModel"]


class LocalModel:
    """SmolLM2-135M-Instruct on this machine's CPU, behind an OpenAI-compatible URL, as a context manager.

    Two models are served: `smollm2` as it was published, which uses no tools, and `smollm2-tools`, the same
    with a small adapter that was trained to use a calculator. They are small: expect no more than one-step
    sums of them.

    It runs in a process of its own, which ends with this one. Starting takes about three seconds and blocks:
    in a coroutine use `await asyncio.to_thread(model.start)`.

        with LocalModel() as model:
            client = OpenAI(base_url=model.base_url, api_key="none")

    Args:
        model_path: The GGUF file; `None` finds the one that was installed or fetched.
        port: To listen on; 0 takes a free one.
        host: Address to listen on.
        threads: CPU threads; `None` reads prompts on every core and samples on half of them.
        slots: Answers sampled at the same time; further calls wait.
        start_timeout_s: Seconds until the start counts as failed.
    """

    def __init__(
        self,
        model_path: Path | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
        threads: int | None = None,
        slots: int = 4,
        *,
        start_timeout_s: float = 120.0,
    ) -> None:
        self._model_path = model_path
        self._address = (host, port)
        self._threads, self._slots = threads, slots
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[str] | None = None
        self._base_url = ""
        self._model_ids: tuple[str, ...] = ()

    def start(self) -> None:
        """Starts the server and returns when it answers; does nothing when it runs already.

        Raises:
            MissingDependencyError: `xllamacpp` is not installed.
            ConfigurationError: The weights are missing, or the server did not come up; the text says why.
        """
        if self._process is not None and self._process.poll() is None:
            return
        if find_spec("xllamacpp") is None:
            raise MissingDependencyError(
                "The local model needs llama.cpp, which is not installed: "
                'pip install "agentcore-rl[local-model]"'
            )
        host, port = self._address
        command = [sys.executable, "-m", "agentcore_rl.local_model.server", "--until-stdin-closes"]
        command += ["--model", str(self._model_path or find_model()), "--host", host, "--port", str(port)]
        command += ["--slots", str(self._slots)]
        command += ["--threads", str(self._threads)] if self._threads else []
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
            ready = self._first_line(self._process)
            if not ready:
                self.stop()
                log.seek(0)
                last = [line.strip() for line in log if line.strip()][-1:] or [
                    f"no word for {self._start_timeout_s:g} s"
                ]
                raise ConfigurationError(f"The local model did not start: {last[0]}")
        announced = json.loads(ready)
        self._base_url, self._model_ids = announced["base_url"], tuple(announced["models"])

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        """The server's announcement; empty if it ended or said nothing in time."""
        assert process.stdout is not None
        lines: list[str] = []
        reader = threading.Thread(
            target=lambda out: lines.append(out.readline()), args=(process.stdout,), daemon=True
        )
        reader.start()
        reader.join(self._start_timeout_s)
        return lines[0] if lines else ""

    def stop(self) -> None:
        """Ends the server and waits until it has; does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    @property
    def base_url(self) -> str:
        """For OpenAI clients, such as http://127.0.0.1:PORT/v1; empty before the start."""
        return self._base_url

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Names to put into a request's `model`; empty before the start."""
        return self._model_ids

    @property
    def pid(self) -> int | None:
        """Process id of the server; None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
