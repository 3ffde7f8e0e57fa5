"""Sessions that are spawned: each process is a new interpreter that imports the app."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from agentcore_rl.local_runtime.child import Child, on_exit

__all__ = ["Spawner", "spawn"]


class Spawner:
    """Starts each session as an interpreter of its own.

    Args:
        app: the app file.
        env: environment of the sessions.
        parent: a pipe's reading end, which says by its end that this process has ended.
    """

    def __init__(self, app: str, env: Mapping[str, str], parent: int) -> None:
        self._app, self._env, self._parent = app, env, parent
        # Of its own, since the loop's is busy with spools that cannot be delivered just then.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="local-runtime-spawn")
        self._closed = False

    async def start(self, listener: int, log: int, env: Mapping[str, str]) -> Child:
        """Start a process; see `Starter`."""
        if self._closed:
            raise OSError("the local runtime is shutting down")
        arguments = [str(listener), str(self._parent), self._app]
        starting = asyncio.get_running_loop().run_in_executor(
            self._pool,
            lambda: spawn(
                "session", arguments, env={**self._env, **env}, log=log, passed=[listener, self._parent]
            ),
        )
        process = await asyncio.shield(starting)
        child = Child(process.pid)
        on_exit(process, child.end)
        return child

    async def aclose(self) -> None:
        """Start nothing any more."""
        self._closed = True
        self._pool.shutdown(wait=False)


def spawn(
    module: str, arguments: Sequence[str], *, env: Mapping[str, str], log: int, passed: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Run a module of this package in an interpreter and a process group of its own. Blocks shortly."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", f"agentcore_rl.local_runtime.{module}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**env, "PYTHONUNBUFFERED": "1"},
        pass_fds=passed,
        start_new_session=True,
    )
