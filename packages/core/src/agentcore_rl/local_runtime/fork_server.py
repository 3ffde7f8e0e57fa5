"""The fork server: a process that has imported the app once, and forks each session from there.

Run as `python -m agentcore_rl.local_runtime.fork_server CONTROL_FD PARENT_FD APP`. It has one thread, since a
thread is not there any more after a fork while the locks that it held are. On the control socket
(SOCK_SEQPACKET, JSON):

    to the runtime    {"threads": 1, "opted_out": false, "began": ns, "files": {path: [mtime_ns, size]}}
    from the runtime  {"env": {...}} with the descriptors listener, log   fork a session
    to the runtime    {"pid": 123} with a pidfd, or {"errno": 11}         it is there, or cannot be
    to the runtime    {"pid": 123, "code": 0}                             it has ended
    from the runtime  {"retire": true}                                    end when all sessions have

When the socket is closed it ends at once; its sessions go on until the runtime ends.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from agentcore_rl.local_runtime.app_file import find_app_file, module_of
from agentcore_rl.local_runtime.randomness import generators, reseed
from agentcore_rl.local_runtime.session import app_or_exit, config_of, serve, watch_parent
from agentcore_rl.local_runtime.threads import native_threads

if TYPE_CHECKING:
    from uvicorn import Config

__all__ = ["LONGEST_MESSAGE", "OPT_OUT", "ForkServer", "main"]

LONGEST_MESSAGE = 1 << 17
"""Bytes of a message on the control socket."""
OPT_OUT = "LOCAL_RUNTIME_MODE"
"""Name at top level of an app file; the value "spawn" keeps its sessions from being forked."""
_LONGEST_OUTPUT = 1 << 16
_SETTLING_S = 1.0


def main() -> None:
    """Import the app, then fork until the runtime ends."""
    control, parent, app_name = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
    os.set_inheritable(control.fileno(), False)
    sys.argv = sys.argv[3:]
    gc.disable()  # a collection would leave holes in pages that sessions could otherwise share
    began = time.time_ns()
    app = app_or_exit(app_name)
    config = config_of(app)
    config.load()
    _warm_up(app)
    path = find_app_file(app_name)[0]
    threads = _settled_threads()
    opted_out = getattr(module_of(path), OPT_OUT, None) == "spawn"
    ready = {"threads": threads, "opted_out": opted_out, "began": began, "files": _files_beside(path)}
    control.send(json.dumps(ready).encode())
    if threads > 1:
        # Once more from the start, with an ear on imports that would cost each session something.
        os.set_inheritable(control.fileno(), True)
        module = "agentcore_rl.local_runtime.threads"
        os.execv(sys.executable, [sys.executable, "-P", "-m", module, str(control.fileno()), app_name])
    if opted_out:
        os._exit(0)
    ForkServer(config, control, parent).run()


def _warm_up(app: Any) -> None:
    """Answer one request, so that what is made at the first one is made here and shared by all sessions.

    The request goes through uvicorn and the app's middleware to /ping, unless the app's author has written
    what answers that: then to a path that is not there. The app's lifespan does not begin.
    """
    from uvicorn import Server

    target = "/ping" if getattr(app, "_ping_handler", None) is None else "/warm-up"

    async def once(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        finally:
            server.should_exit = True

    server = Server(config_of(once, lifespan="off"))
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as client,
    ):
        listener.bind(f"{folder}/s")
        listener.listen()
        client.connect(f"{folder}/s")  # the kernel keeps the request until the server reads it
        client.sendall(f"GET {target} HTTP/1.1\r\nhost: session\r\nconnection: close\r\n\r\n".encode())
        server.run(sockets=[listener])


def _settled_threads() -> int:
    """Native threads of this process, when those of the warm-up have had a moment to end."""
    until = time.monotonic() + _SETTLING_S
    while (count := native_threads()) > 1 and time.monotonic() < until:
        time.sleep(0.02)
    return count


def _files_beside(path: Path) -> dict[str, tuple[int, int]]:
    """The app file and modules from its folder, with time of change and size; none of installed packages."""
    found = {}
    files = {str(path)} | {
        file for module in list(sys.modules.values()) if isinstance(file := vars(module).get("__file__"), str)
    }
    installed = tuple(f"{Path(prefix)}{os.sep}" for prefix in {sys.prefix, sys.base_prefix} if prefix)
    for file in files:
        beside = file.startswith(f"{path.parent}{os.sep}") and "site-packages" not in file
        if file == str(path) or (beside and not file.startswith(installed)):
            try:
                status = os.stat(file)
            except OSError:
                continue
            found[file] = (status.st_mtime_ns, status.st_size)
    return found


class ForkServer:
    """Forks sessions and tells when they end."""

    def __init__(self, config: Config, control: socket.socket, parent: int) -> None:
        self._config, self._control, self._parent = config, control, parent
        self._children: set[int] = set()
        self._retired = False
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._waking, False)
        os.set_blocking(self._woken, False)

    def run(self) -> NoReturn:
        """Serve requests until the control socket is closed."""
        output = _output_so_far()
        found = generators()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while not self._retired or self._children:
            ready = {fd for fd, _ in poll.poll()}
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if self._control.fileno() in ready:
                session = self._request()
                if session is not None:
                    self._become(*session, output, lambda: reseed(found))
        os._exit(0)

    def _request(self) -> tuple[dict[str, str], int, int] | None:
        """Do what the runtime asks; in a forked process, what that shall be."""
        message, fds, _, _ = socket.recv_fds(self._control, LONGEST_MESSAGE, 2)
        if not message:
            os._exit(0)
        asked = json.loads(message)
        if asked.get("retire"):
            self._retired = True
            return None
        listener, log = fds
        try:
            pid = os.fork()
        except OSError as error:
            self._say({"errno": error.errno})
        else:
            if pid == 0:
                return asked["env"], listener, log
            self._children.add(pid)
            handle = os.pidfd_open(pid)
            self._say({"pid": pid}, handle)
            os.close(handle)
        for fd in fds:
            os.close(fd)
        return None

    def _say(self, what: dict[str, int | None], *fds: int) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(what).encode()], fds)
        except OSError:  # the runtime has ended
            os._exit(0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._children:
                self._children.discard(pid)
                self._say({"pid": pid, "code": os.waitstatus_to_exitcode(status)})

    def _become(
        self, env: dict[str, str], listener: int, log: int, output: bytes, reseed_all: Callable[[], None]
    ) -> NoReturn:
        """Be a session from here on, in a forked process."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.write(log, output)
            os.dup2(log, 1)
            os.dup2(log, 2)
            for fd in (log, self._woken, self._waking):
                os.close(fd)
            self._control.close()
            os.environ.update(env)
            reseed_all()
            gc.enable()
            watch_parent(self._parent)
            serve(self._config, listener)
        except BaseException:  # noqa: BLE001 - nothing above may go on in this process
            traceback.print_exc()
        finally:
            os._exit(1)


def _output_so_far() -> bytes:
    """What the import has printed: each session's log begins with it, as if it had imported the app."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        with open(f"/proc/self/fd/{sys.stderr.fileno()}", "rb") as log:
            return log.read(_LONGEST_OUTPUT)
    except OSError:
        return b""


if __name__ == "__main__":
    main()
