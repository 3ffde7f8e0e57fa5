"""The gateway's process: an address, a server, one ready line."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from agentcore_rl.endpoint import is_loopback
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.call import Mode
from agentcore_rl_gateway.calls import Calls
from agentcore_rl_gateway.http.asking import Patience
from agentcore_rl_gateway.http.listener import Listener, caught_signals
from agentcore_rl_gateway.log import CallLog
from agentcore_rl_gateway.metrics import Metrics
from agentcore_rl_gateway.policy import PolicyGate
from agentcore_rl_gateway.server import Bounds, Gateway
from agentcore_rl_gateway.sessions import Sessions

__all__ = ["ADMIN_KEY_VARIABLE", "GatewayServer", "Options"]

ADMIN_KEY_VARIABLE = "AGENTCORE_RL_GATEWAY_ADMIN_KEY"
"""Environment variable with the control route's key."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where a gateway listens and keeps its log.

    Attributes:
        folder: of the log.
        host, port: to listen on; port 0 takes a free one.
        admin_key: of the control route; empty makes one, which only a gateway on loopback may do.
        fsync: answers wait until the disk has their call.
        bounds: what it takes.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    admin_key: str = ""
    fsync: bool = False
    bounds: Bounds = field(default_factory=Bounds)


class GatewayServer:
    """A gateway that listens: in this thread (`serve`), or in one of its own (as a context manager).

    Args:
        mode: what answers.
        options: where it listens and keeps its log.

    Attributes:
        admin_key: of the control route.
        base_url: for OpenAI clients, with `/v1`.

    Raises:
        ConfigurationError: an address that is not this machine's alone without an admin key, a port or a
            folder that cannot be used.
    """

    def __init__(self, mode: Mode, options: Options) -> None:
        if not options.admin_key and not is_loopback(options.host):
            raise ConfigurationError(
                f"A gateway on {options.host} can be reached by others and needs an admin key: set "
                f"{ADMIN_KEY_VARIABLE}, or listen on 127.0.0.1."
            )
        self.admin_key = options.admin_key or secrets.token_urlsafe(32)
        log = CallLog(options.folder, fsync=options.fsync)
        try:
            family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
            self._socket = socket.create_server((options.host, options.port), family=family, backlog=2048)
        except OSError as error:
            log.close()
            raise ConfigurationError(
                f"The gateway cannot listen on {options.host} port {options.port} "
                f"({error.strerror or error}): give another --host or --port; port 0 takes a free one."
            ) from error
        # asyncio sets it only on sockets that it makes itself; without it a small answer waits 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host = f"[{options.host}]" if ":" in options.host else options.host
        self.base_url = f"http://{host}:{self._socket.getsockname()[1]}/v1"
        self.calls = Calls(mode, log, Sessions(), PolicyGate(), Metrics())
        self._app = Gateway(self.calls, self.admin_key, options.bounds)
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, or until a signal ends the process' server.

        Raises:
            ConfigurationError: the engine cannot be served, or the log is not readable.
        """
        try:
            await self._app.start()
        except BaseException:
            self._socket.close()
            await self.calls.mode.close()
            self.calls.log.close()
            raise
        self._listener = Listener(self._app, self._socket, Patience(self._app.bounds.slow_s))
        with caught_signals(self._listener.stop):
            try:
                await self._listener.serve(started)
            finally:
                await self._app.close()

    def serve(self, started: Callable[[], None] = lambda: None) -> None:
        """Serve in this thread until interrupted."""
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self.run(started))

    def stop(self) -> None:
        """End it, and wait until it has; does nothing when it does not run."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._listener is not None:
            self._listener.stop()
        thread.join()

    def __enter__(self) -> Self:
        up = threading.Event()

        def serve() -> None:
            try:
                self.serve(up.set)
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                self._failure = error
            up.set()

        self._thread = threading.Thread(target=serve, name="gateway", daemon=True)
        self._thread.start()
        up.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed, and not switched off."""
    if os.environ.get("AGENTCORE_RL_GATEWAY_LOOP") == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
