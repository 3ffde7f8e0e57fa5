"""The local runtime as one object: an HTTP server in a thread of its own, and what stands behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import uvicorn

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.local_runtime.app_file import find_app_file
from agentcore_rl.local_runtime.front import ARN, SESSION_HEADER, Front
from agentcore_rl.local_runtime.table import SessionTable
from agentcore_rl.logs import logger_of
from agentcore_rl.settings import Settings
from agentcore_rl.sink import drain_orphans

__all__ = ["LocalRuntime"]

T = TypeVar("T")
_log = logger_of(__name__)
_BACKLOG = 1024
_DRAIN_S = 5.0
# The BLAS libraries start a thread per core in every process, which a machine full of sessions cannot use.
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class LocalRuntime:
    """AgentCore Runtime's HTTP API on this machine, with one process per session.

    Use it with `async with`, or with `start` and `stop`; it serves from a thread of its own.

    Args:
        app: path of the app file, `:name` behind it where the file makes several apps.
        port: 0 takes a free one.
        host: address to listen on. Whoever reaches it can run your app: keep it to this machine.
        directory: where logs and spools of the sessions go; by default a folder in the state directory.
        env: environment variables of the sessions, on top of this process's own.

    Attributes:
        arn: an ARN to use; any well-formed one is accepted.
        region: a region to use; any is accepted.
        directory: where logs (`logs/SESSION.log`) and spools (`spool/SESSION/`) are.

    Raises:
        AppNotFound: there is no such file.
    """

    arn, region = ARN, "us-west-2"

    def __init__(
        self,
        app: str,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        directory: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        path, name = find_app_file(app)
        self._app = str(path) if name is None else f"{path}:{name}"
        self._address = (host, port)
        self._env = {**_ONE_THREAD, **os.environ, **(env or {})}
        self._settings = Settings.from_environment(self._env)
        self.directory = (directory or self._settings.spool.parent / "local-runtime").absolute()
        self._thread: threading.Thread | None = None

    @property
    def endpoint_url(self) -> str:
        """What a boto3 client takes as `endpoint_url`; known once it is started."""
        host, port = self._address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def start(self) -> None:
        """Listen and serve; requests are accepted when it returns.

        Raises:
            ConfigurationError: the address cannot be listened on, or the directory cannot be written.
        """
        host, port = self._address
        # A Unix socket's path has about 100 bytes.
        short = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"
        try:
            (self.directory / "logs").mkdir(parents=True, exist_ok=True)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
            # asyncio does so only where the socket names its protocol; without it an answer takes 40 ms more.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise ConfigurationError(
                f"The local runtime cannot use port {port} of {host}, or {self.directory}: {error}. "
                "Give another port (0 takes a free one), or another directory."
            ) from error
        self._address = listener.getsockname()[:2]
        sockets = Path(tempfile.mkdtemp(prefix="agentcore-rl-", dir=short))
        self._sessions = SessionTable(self._app, self.directory, sockets, self._env, self._drain)
        ready, self._closing = threading.Event(), threading.Event()
        serve = lambda: asyncio.run(self._serve(listener, sockets, ready))  # noqa: E731
        self._thread = threading.Thread(target=serve, name="local-runtime", daemon=True)
        self._thread.start()
        ready.wait()

    async def _serve(self, listener: socket.socket, sockets: Path, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        front = Front(self._sessions)
        config = uvicorn.Config(
            front, http="h11", ws="none", lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        ready.set()
        left = [asyncio.to_thread(self._drain, spool) for spool in self.directory.glob("spool/*")]
        draining = asyncio.gather(*left)
        await self._stopping.wait()
        self._closing.set()
        await self._sessions.close()
        server.should_exit = True
        await asyncio.gather(serving, draining)
        shutil.rmtree(sockets, ignore_errors=True)

    def stop(self) -> None:
        """End all sessions and stop serving; stopping it twice is fine."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(self.stop)

    def serve_forever(self) -> None:
        """Serve until Ctrl-C or SIGTERM; for the main thread of a program, after `start`."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        self.stop()

    async def invoke(self, session: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """Deliver a payload past HTTP: status, header fields and body of the app's answer.

        Raises:
            ValueError: the session id is malformed.
            LaunchRejected: the app cannot be loaded.
            SessionLost: the session died, or gave no answer.
        """

        async def ask() -> tuple[int, Mapping[str, str], bytes]:
            fields = [(b"content-type", b"application/json"), (SESSION_HEADER.encode(), session.encode())]
            answer = await self._sessions.invoke(session, body, fields)
            return answer.status, answer.headers, await answer.content()

        return await self._there(ask())

    async def status(self, session: str) -> SessionStatus:
        """What a session is doing now."""
        return await self._there(self._sessions.status(session))

    async def stop_session(self, session: str) -> bool:
        """End a session and what it started; whether there was one."""
        return await self._there(self._sessions.stop(session))

    async def _there(self, asked: Coroutine[Any, Any, T]) -> T:
        """Await `asked` on the runtime's own loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, self._loop))

    def describe(self) -> str:
        """What a person needs to reach it, in lines to print."""
        return f"""\
Local runtime of {self._app}
  endpoint URL  {self.endpoint_url}
  region        {self.region} (any will do)
  runtime ARN   {self.arn} (any well-formed one will do)
  credentials   any, such as AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
  logs          {self.directory / "logs"}

  import boto3, json
  client = boto3.client("bedrock-agentcore", endpoint_url="{self.endpoint_url}", region_name="{self.region}",
                        aws_access_key_id="local", aws_secret_access_key="local")
  answer = client.invoke_agent_runtime(agentRuntimeArn="{self.arn}",
                                       payload=json.dumps({{"prompt": "What is 2 + 3?"}}))
  print(answer["runtimeSessionId"], answer["response"].read())
"""

    def _drain(self, spool: Path) -> None:
        """Deliver what a dead session has left, trying for as long as the runtime lives."""
        while not drain_orphans(spool, timeout_s=_DRAIN_S) and not self._closing.is_set():
            pass
        with contextlib.suppress(OSError):  # something is left
            spool.rmdir()
