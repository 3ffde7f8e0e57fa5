"""LocalModel: the server as a child process of this one."""

from importlib.util import find_spec
from pathlib import Path

from agentcore_rl.child_server import ChildServer
from agentcore_rl.exceptions import MissingDependencyError
from agentcore_rl.local_model.model_file import find_model

__all__ = ["LocalModel"]


class LocalModel(ChildServer):
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
        super().__init__("The local model", start_timeout_s=start_timeout_s)
        self._model_path = model_path
        self._address = (host, port)
        self._threads, self._slots = threads, slots
        self._engine_url = ""
        self._model_ids: tuple[str, ...] = ()

    def start(self) -> None:
        """Starts the server and returns when it answers; does nothing when it runs already.

        Raises:
            MissingDependencyError: `xllamacpp` is not installed.
            ConfigurationError: The weights are missing, or the server did not come up; the text says why.
        """
        if self.pid is not None:
            return
        if find_spec("xllamacpp") is None:
            raise MissingDependencyError(
                "The local model needs llama.cpp, which is not installed: "
                'pip install "agentcore-rl[local-model]"'
            )
        host, port = self._address
        arguments = ["--until-stdin-closes", "--model", str(self._model_path or find_model())]
        arguments += ["--host", host, "--port", str(port), "--slots", str(self._slots)]
        arguments += ["--threads", str(self._threads)] if self._threads else []
        announced = self._run("agentcore_rl.local_model.server", arguments)
        self._engine_url, self._model_ids = announced["engine_url"], tuple(announced["models"])

    @property
    def engine_url(self) -> str:
        """Of llama.cpp's own server, which takes token ids; empty before the start."""
        return self._engine_url

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Names to put into a request's `model`; empty before the start."""
        return self._model_ids
