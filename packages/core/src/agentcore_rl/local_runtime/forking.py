"""Sessions that are forked: the runtime's side of the fork server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentcore_rl.exceptions import LaunchRejected
from agentcore_rl.local_runtime.child import Child, on_exit
from agentcore_rl.local_runtime.fork_server import LONGEST_MESSAGE, OPT_OUT
from agentcore_rl.local_runtime.session import NO_APP
from agentcore_rl.local_runtime.spawning import spawn

__all__ = ["CannotFork", "Forker"]

_IMPORT_FAILURE_S = 5.0
"""For so long a failed import is not tried again, unless the app file changes."""
_TRIES = 3


class CannotFork(Exception):
    """Sessions of this app cannot be forked; the text says why."""


@dataclass(slots=True)
class _Warm:
    """What became of importing the app once.

    Attributes:
        server: the fork server; None where there is a `problem`.
        problem: why there is none.
        output: what the failed import has printed.
        files: time of change and size of the files whose change makes this worthless.
        until: when it is worthless in any case, on the monotonic clock.
    """

    server: _Server | None = None
    problem: CannotFork | LaunchRejected | None = None
    output: bytes = b""
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    until: float = float("inf")

    @property
    def stale(self) -> bool:
        """Whether the app must be imported anew."""
        died = self.server is not None and self.server.dead
        return (
            died
            or time.monotonic() > self.until
            or any(_state(file) != was for file, was in self.files.items())
        )


class Forker:
    """Starts each session as a fork of a process that has imported the app.

    That process begins with `warm`, or with the first session; sessions wait for it. It is replaced when it
    died, and when the app file or a module beside it has changed.

    Args:
        app: the app file.
        env: environment of the sessions.
        parent: a pipe's reading end, which says by its end that this process has ended.
        log: file for what the import prints.

    Attributes:
        launched: whether the process was begun for the first time, or could not be.
        threads_of: what started the threads that the import left, once that is known; None: it left none.
    """

    def __init__(self, app: str, env: Mapping[str, str], parent: int, log: Path) -> None:
        self._app, self._env, self._parent, self._log = app, env, parent, log
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="local-runtime-fork")
        self._warming = asyncio.Lock()
        self._warm: _Warm | None = None
        self._servers: set[_Server] = set()
        self._closed = False
        self.threads_of: asyncio.Future[list[str]] | None = None
        self.launched = asyncio.Event()

    async def start(self, listener: int, log: int, env: Mapping[str, str]) -> Child:
        """Fork a process; see `Starter`.

        Raises:
            CannotFork: the app must be spawned instead.
        """
        for _ in range(_TRIES):
            warm = await self.warm()
            if isinstance(warm.problem, LaunchRejected):
                os.write(log, warm.output)
            if warm.problem is not None:
                raise warm.problem.with_traceback(None)
            assert warm.server is not None
            with contextlib.suppress(ConnectionError):  # it has just died
                return await warm.server.fork(listener, log, env)
        raise OSError(f"the fork server died {_TRIES} times; its log is {self._log}")

    async def warm(self) -> _Warm:
        """Import the app if that is due; what became of it."""
        async with self._warming:
            if self._warm is None or self._warm.stale:
                if self._warm is not None and self._warm.server is not None:
                    self._warm.server.retire()
                self._warm = await self._import()
            return self._warm

    async def _import(self) -> _Warm:
        if self._closed:
            raise OSError("the local runtime is shutting down")
        path = str(_app_path(self._app))
        before = {path: _state(path)}
        server = await self._launch()
        said = await server.ready
        if "threads" in said:
            # A file that was written while it was imported may have been read before or after.
            files = {
                file: (0, 0) if mtime_ns >= said["began"] else (mtime_ns, size)
                for file, (mtime_ns, size) in said["files"].items()
            }
            if said["opted_out"]:
                return _Warm(problem=CannotFork(f'the app file says {OPT_OUT} = "spawn"'), files=files)
            if said["threads"] > 1:
                self.threads_of = server.threads_of
                problem = CannotFork(f"its import leaves {said['threads'] - 1} thread(s) running")
                return _Warm(problem=problem, files=files)
            return _Warm(server, files=files)
        if self._closed:
            raise OSError("the local runtime is shutting down")
        output = await asyncio.get_running_loop().run_in_executor(self._pool, self._log.read_bytes)
        if said["code"] == NO_APP:
            last = output.decode("utf-8", "replace").strip().rpartition("\n")[2].strip()[:1000]
            until = time.monotonic() + _IMPORT_FAILURE_S
            return _Warm(problem=LaunchRejected(last), output=output, files=before, until=until)
        problem = CannotFork(f"the process that imported it ended with {said['code']}; see {self._log}")
        return _Warm(problem=problem, files=before)

    async def _launch(self) -> _Server:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:

            def begin() -> subprocess.Popen[bytes]:
                self._log.unlink(missing_ok=True)  # an older process may still write to its own
                log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    passed = [theirs.fileno(), self._parent]
                    arguments = [str(theirs.fileno()), str(self._parent), self._app]
                    return spawn("fork_server", arguments, env=self._env, log=log, passed=passed)
                finally:
                    os.close(log)

            try:
                process = await asyncio.get_running_loop().run_in_executor(self._pool, begin)
            except BaseException:
                ours.close()
                raise
            finally:
                self.launched.set()
        server = _Server(process, ours)
        self._servers.add(server)
        server.exited.add_done_callback(lambda _: self._servers.discard(server))
        if self._closed:
            server.close()
        return server

    def refuse(self) -> None:
        """Start nothing any more; an import that is under way is ended."""
        self._closed = True
        for server in self._servers:
            if not server.ready.done():
                server.close()

    async def aclose(self) -> None:
        """End the fork servers; their sessions have ended before, or are nobody's."""
        self.refuse()
        servers = list(self._servers)
        for server in servers:
            server.close()
        await asyncio.gather(*(server.exited for server in servers))
        self._pool.shutdown(wait=False)


class _Server:
    """One fork server.

    Attributes:
        ready: what it says when it has imported the app, or {"code": return code} when it ended before.
        threads_of: what started the threads that its import left.
        exited: done when the process has ended.
        dead: whether it can fork nothing any more.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process, self._control = process, control
        control.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self.threads_of: asyncio.Future[list[str]] = self._loop.create_future()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.dead = False
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[Child] | None = None
        self._children: dict[int, Child] = {}
        self._gone: set[int] = set()
        self._loop.add_reader(control, self._hear)
        on_exit(process, self._ended)

    async def fork(self, listener: int, log: int, env: Mapping[str, str]) -> Child:
        """Fork one session.

        Raises:
            ConnectionError: this server is dead.
            OSError: it could not fork.
        """
        async with self._turn:  # one at a time: the socket's buffer never fills
            if self.dead:
                raise ConnectionError("the fork server is dead")
            self._answer = self._loop.create_future()
            try:
                socket.send_fds(self._control, [json.dumps({"env": dict(env)}).encode()], [listener, log])
            except ConnectionError:
                self._lose()  # its end is known here before the loop has told of it
                raise
            return await self._answer

    def retire(self) -> None:
        """Let it end when its sessions have ended."""
        if not self.dead:
            with contextlib.suppress(OSError):
                self._control.send(b'{"retire": true}')

    def close(self) -> None:
        """End it now, in whatever it is doing."""
        self._lose()
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _hear(self) -> None:
        try:
            message, fds, _, _ = socket.recv_fds(self._control, LONGEST_MESSAGE, 1)
        except BlockingIOError:
            return
        except OSError:
            message, fds = b"", []
        if not message:
            self._lose()
            return
        said = json.loads(message)
        if "threads" in said:
            self.ready.set_result(said)
        elif "threads_of" in said:
            self.threads_of.set_result(said["threads_of"])
        elif "code" in said:
            child = self._children.pop(said["pid"])
            self._gone.discard(child.pid)
            child.end(said["code"])
        elif self._answer is not None and not self._answer.done():
            if "errno" in said:
                self._answer.set_exception(OSError(said["errno"], os.strerror(said["errno"])))
            else:
                self._answer.set_result(self._adopt(said["pid"], fds[0]))

    def _adopt(self, pid: int, handle: int) -> Child:
        child = self._children[pid] = Child(pid)

        def gone() -> None:
            self._loop.remove_reader(handle)
            os.close(handle)
            if self.dead:
                self._children.pop(pid, None)
                child.end(None)  # only its parent would have heard how
            elif pid in self._children:
                self._gone.add(pid)

        # Not only the server tells: sessions outlive it.
        self._loop.add_reader(handle, gone)
        return child

    def _lose(self) -> None:
        """Nothing is heard of it any more."""
        if self.dead:
            return
        self.dead = True
        self._loop.remove_reader(self._control)
        self._control.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the fork server died"))
        if not self.threads_of.done():
            self.threads_of.set_result([])
        for pid in self._gone:
            self._children.pop(pid).end(None)
        self._gone.clear()

    def _ended(self, code: int) -> None:
        self._lose()
        if not self.ready.done():
            self.ready.set_result({"code": code})
        self.exited.set_result(None)


def _app_path(app: str) -> Path:
    """The app file's path, whether it is there or not."""
    stem, _, name = app.rpartition(":")
    return Path(stem if stem and name.isidentifier() else app)


def _state(file: str) -> tuple[int, int]:
    """A file's time of change and size; zeros when it is not there."""
    try:
        status = os.stat(file)
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
