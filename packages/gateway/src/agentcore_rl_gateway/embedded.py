"""A gateway of one's own: a child process that ends with this one."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from agentcore_rl.child_server import ChildServer, end_with_stdin
from agentcore_rl.endpoint import Secret
from agentcore_rl.exceptions import AgentCoreRLError
from agentcore_rl_gateway.command import ENGINE_KEY_VARIABLE, serve

__all__ = ["EmbeddedGateway", "main"]

_STOP_S = 15.0


class EmbeddedGateway(ChildServer):
    """A gateway on this machine alone, in a process of its own, as a context manager.

    Starting it blocks, with the local model for about five seconds: in a coroutine use `asyncio.to_thread`.

        with EmbeddedGateway("llama.cpp", log=Path("gateway-log")) as gateway:
            control = GatewayControl(gateway.base_url, gateway.admin_key)
            async with BatchRunner(..., gateway=control) as batch: ...

    Args:
        engine: as `--engine` of `agentcore-rl gateway`.
        log: folder of the log; one gateway at a time has it.
        tokenizer, renderer: as the options of these names.
        engine_key: the bearer token that the engine's server wants.
        start_timeout_s: seconds until the start counts as failed.
    """

    def __init__(
        self,
        engine: str,
        *,
        log: Path,
        tokenizer: str | None = None,
        renderer: str | None = None,
        engine_key: str = "",
        start_timeout_s: float = 180.0,
    ) -> None:
        super().__init__("The gateway", start_timeout_s=start_timeout_s, stop_s=_STOP_S + 2)
        self._engine, self._log, self._tokenizer, self._renderer = engine, log, tokenizer, renderer
        self._engine_key = engine_key
        self._admin_key = Secret("")

    def start(self) -> None:
        """Start it, and return when it answers; does nothing when it runs already.

        Raises:
            ConfigurationError: the engine or the folder cannot be used; the text says why.
        """
        if self.pid is not None:
            return
        arguments = ["--engine", self._engine, "--log", str(self._log)]
        arguments += ["--tokenizer", self._tokenizer] if self._tokenizer else []
        arguments += ["--renderer", self._renderer] if self._renderer else []
        env = {ENGINE_KEY_VARIABLE: self._engine_key} if self._engine_key else {}
        announced = self._run("agentcore_rl_gateway.embedded", arguments, env)
        self._admin_key = Secret(announced["admin_key"])

    @property
    def admin_key(self) -> Secret:
        """Of its control route."""
        return self._admin_key


def main() -> int:
    """The child: serves until its stdin closes."""
    parser = argparse.ArgumentParser(prog="python -m agentcore_rl_gateway.embedded", allow_abbrev=False)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--renderer")
    parser.add_argument("--log", required=True, type=Path)
    options = parser.parse_args()
    # What ended the server is raised again after it, and a killed process would not close its log.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    def started(base_url: str, _control: str, admin_key: str) -> None:
        end_with_stdin(_end)
        sys.stdout.write(json.dumps({"base_url": base_url, "admin_key": admin_key}) + "\n")
        sys.stdout.flush()

    os.environ.pop("AGENTCORE_RL_GATEWAY_ADMIN_KEY", None)  # its own key is made for its parent alone
    try:
        serve(
            options.engine,
            tokenizer=options.tokenizer,
            renderer=options.renderer,
            folder=options.log,
            host="127.0.0.1",
            port=0,
            fsync=False,
            started=started,
        )
    except (AgentCoreRLError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _end() -> None:
    """As SIGTERM does; a process that hangs then ends all the same."""
    late = threading.Timer(_STOP_S, lambda: os._exit(1))
    late.daemon = True
    late.start()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    raise SystemExit(main())
