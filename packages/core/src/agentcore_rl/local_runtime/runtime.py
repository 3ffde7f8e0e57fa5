"""The local runtime as one object: an HTTP server in a thread of its own, and what stands behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import signal
import socket
import tempfile
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from agentcore_rl.exceptions import ConfigurationError, OutcomeUnknown
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.limits import Quotas
from agentcore_rl.local_runtime.app_file import find_app_file
from agentcore_rl.local_runtime.faults import Faults
from agentcore_rl.local_runtime.front import ARN, SESSION_HEADER
from agentcore_rl.local_runtime.gate import MEMORY_FLOOR_MIB
from agentcore_rl.local_runtime.refusals import AnswerLost, Refused
from agentcore_rl.local_runtime.service import DEFAULT_QUALIFIER
from agentcore_rl.local_runtime.serving import Serving, Terms
from agentcore_rl.local_runtime.starting import MODES, Mode
from agentcore_rl.settings import Settings

__all__ = ["LocalRuntime"]

T = TypeVar("T")
_BACKLOG = 1024
_FILES = 16_384
_QUALIFIER = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{0,47}")
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
        mode: "fork" forks each session from a process that has imported the app once, "spawn" has each
            import it; "auto" forks where that works.
        quotas: what is refused as too much (`AGENTCORE_QUOTAS` has the service's); none unless given.
        memory_floor_mib: no session is started while this machine has less memory left; 0: no matter.
        idle_timeout_s: a session ends when it was idle for so many seconds; None: never.
        max_lifetime_s: a session ends when it is so many seconds old; None: never.
        qualifiers: app files of further endpoints, by qualifier; `app` is that of DEFAULT.
        fault_route: answer `/_faults`, where faults are asked for over HTTP.

    Attributes:
        faults: what goes wrong on purpose; nothing until a rule is added.
        arn: an ARN to use; any well-formed one is accepted.
        region: a region to use; any is accepted.
        directory: where logs (`logs/SESSION.log`) and spools (`spool/SESSION/`) are.

    Raises:
        AppNotFound: there is no such file.
        ConfigurationError: an argument makes no sense.
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
        mode: Mode = "auto",
        quotas: Quotas | None = None,
        memory_floor_mib: float = MEMORY_FLOOR_MIB,
        idle_timeout_s: float | None = None,
        max_lifetime_s: float | None = None,
        qualifiers: Mapping[str, str] | None = None,
        fault_route: bool = False,
    ) -> None:
        if mode not in MODES:
            raise ConfigurationError(f"A mode is one of {', '.join(MODES)}, not {mode!r}.")
        for name, value in (("idle_timeout_s", idle_timeout_s), ("max_lifetime_s", max_lifetime_s)):
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} must be above 0 seconds, or None; not {value!r}.")
        apps = {DEFAULT_QUALIFIER: app, **(qualifiers or {})}
        for qualifier in apps:
            if not _QUALIFIER.fullmatch(qualifier):
                raise ConfigurationError(
                    f"A qualifier has 1 to 48 characters of [a-zA-Z0-9_], a letter first; not {qualifier!r}."
                )
        self._address = (host, port)
        own = {**_ONE_THREAD, **os.environ, **(env or {})}
        settings = Settings.from_environment(own)
        self.directory = (directory or settings.spool.parent / "local-runtime").absolute()
        self.faults = Faults()
        self._terms = Terms(
            apps={qualifier: _absolute(app) for qualifier, app in apps.items()},
            directory=self.directory,
            env=own,
            mode=mode,
            quotas=quotas or Quotas(),
            memory_floor_mib=memory_floor_mib,
            idle_timeout_s=idle_timeout_s,
            max_lifetime_s=max_lifetime_s,
            fault_route=fault_route,
        )
        self._thread: threading.Thread | None = None
        self._failure: OSError | None = None

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
        _allow_files()
        sockets = Path(tempfile.mkdtemp(prefix="agentcore-rl-", dir=short))
        self._failure, ready = None, threading.Event()
        serve = lambda: asyncio.run(self._serve(listener, sockets, ready))  # noqa: E731
        self._thread = threading.Thread(target=serve, name="local-runtime", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failure is not None:
            self._thread.join()
            self._thread = None
            raise ConfigurationError(
                f"The local runtime could not start: {self._failure}."
            ) from self._failure

    async def _serve(self, listener: socket.socket, sockets: Path, ready: threading.Event) -> None:
        try:
            try:
                self._loop = asyncio.get_running_loop()
                self._serving = Serving(self._terms, self.faults, sockets)
            except OSError as error:
                self._failure = error
                listener.close()
                return
            await self._serving.run(listener, ready.set)
        finally:
            ready.set()

    def stop(self) -> None:
        """End all sessions and stop serving; stopping it twice is fine."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._serving.stopping.set)
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
            LaunchRejected: the session id is malformed, or the app cannot be loaded.
            RetryLater: throttled, or over a quota.
            SessionLost: the session died, or gave no answer.
            OutcomeUnknown: a fault that was asked for.
        """

        async def ask() -> tuple[int, Mapping[str, str], bytes]:
            fields = [(b"content-type", b"application/json"), (SESSION_HEADER.encode(), session.encode())]
            try:
                answer = await self._serving.service.invoke(session, body, fields)
            except Refused as error:
                raise error.as_launcher_error() from error
            except AnswerLost as error:
                raise OutcomeUnknown(str(error)) from None
            return answer.status, answer.headers, await answer.content()

        return await self._there(ask())

    async def status(self, session: str) -> SessionStatus:
        """What a session is doing now."""
        return await self._there(self._serving.service.status(session))

    async def stop_session(self, session: str) -> bool:
        """End a session and what it started; whether there was one.

        Raises:
            RetryLater, LaunchRejected: throttled, or a fault that was asked for.
        """

        async def stop() -> bool:
            try:
                return await self._serving.service.stop(session)
            except Refused as error:
                raise error.as_launcher_error() from error

        return await self._there(stop())

    async def _there(self, asked: Coroutine[Any, Any, T]) -> T:
        """Await `asked` on the runtime's own loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, self._loop))

    def describe(self) -> str:
        """What a person needs to reach it, in lines to print."""
        return f"""\
Local runtime of {self._terms.apps[DEFAULT_QUALIFIER]}
  endpoint URL  {self.endpoint_url}
  region        {self.region} (any will do)
  runtime ARN   {self.arn} (any well-formed one will do)
  credentials   any, such as AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
  logs          {self.directory / "logs"}
  sessions      {self.starts}

  import boto3, json
  client = boto3.client("bedrock-agentcore", endpoint_url="{self.endpoint_url}", region_name="{self.region}",
                        aws_access_key_id="local", aws_secret_access_key="local")
  answer = client.invoke_agent_runtime(agentRuntimeArn="{self.arn}",
                                       payload=json.dumps({{"prompt": "What is 2 + 3?"}}))
  print(answer["runtimeSessionId"], answer["response"].read())
"""

    @property
    def starts(self) -> str:
        """How sessions start, in words: forked or spawned, and what stands in the way of forking."""
        if self._thread is None:
            return f"not started; mode {self._terms.mode}"
        return self._serving.starts


def _absolute(app: str) -> str:
    path, name = find_app_file(app)
    return str(path) if name is None else f"{path}:{name}"


def _allow_files() -> None:
    """Let this process open a few files per session, for a thousand of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit of its own below
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
