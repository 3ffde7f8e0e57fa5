"""How the sessions of one app start: forked where that works, else spawned, with the reason."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from agentcore_rl.exceptions import LaunchRejected
from agentcore_rl.local_runtime.child import Child
from agentcore_rl.local_runtime.forking import CannotFork, Forker
from agentcore_rl.local_runtime.spawning import Spawner
from agentcore_rl.logs import logger_of

__all__ = ["MODES", "Mode", "ModeStarter"]

_log = logger_of(__name__)
Mode = Literal["auto", "fork", "spawn"]
"""auto: forked where that works, else spawned. fork: forked or refused. spawn: an interpreter for each."""
MODES: Final = get_args(Mode)
"""All of them."""


class ModeStarter:
    """A `Starter` that chooses between forking and spawning.

    Args:
        mode: what the user asks for.
        app: the app file.
        env: environment of the sessions.
        parent: a pipe's reading end, which says by its end that this process has ended.
        log: file for what the fork server's import prints.
    """

    def __init__(self, mode: Mode, app: str, env: Mapping[str, str], parent: int, log: Path) -> None:
        self._mode, self._app = mode, app
        self._spawner = Spawner(app, env, parent)
        # After a fork macOS aborts processes that touch its frameworks, whatever their threads.
        forks = mode != "spawn" and sys.platform == "linux"
        self._forker = Forker(app, env, parent, log) if forks else None
        self._reason = "" if mode == "spawn" or forks else "this system forks no sessions"
        self._blame: asyncio.Task[None] | None = None
        self._said = ""
        self._warm = False

    @property
    def description(self) -> str:
        """How sessions start, in words."""
        if self._mode == "spawn":
            return "spawned"
        if self._reason:
            return f"spawned, since {self._reason}" if self._mode == "auto" else f"refused: {self._reason}"
        return "forked" if self._warm else "forked, once the app is imported"

    async def warm(self) -> None:
        """Import the app before the first session asks for it; says what stands in the way."""
        if self._forker is not None:
            try:
                warm = await self._forker.warm()
            except OSError:
                return  # sessions will meet it, and say so
            if isinstance(warm.problem, CannotFork):
                self._note(warm.problem)
            else:
                self._reason, self._warm = "", warm.server is not None

    async def launched(self) -> None:
        """Return when what `warm` begins has begun."""
        if self._forker is not None:
            await self._forker.launched.wait()

    async def start(self, listener: int, log: int, env: Mapping[str, str]) -> Child:
        """Start a process; see `Starter`."""
        if self._forker is not None:
            try:
                child = await self._forker.start(listener, log, env)
            except CannotFork as error:
                self._note(error)
            else:
                self._reason, self._warm = "", True
                return child
        if self._mode == "fork":
            raise LaunchRejected(
                f"Sessions of {Path(self._app).name} cannot be forked: {self._reason}; "
                'use mode "auto" or "spawn".'
            )
        return await self._spawner.start(listener, log, env)

    def _note(self, problem: CannotFork) -> None:
        self._reason = self._reason or str(problem)
        forker = self._forker
        if self._said == str(problem) or forker is None:
            return
        self._said = str(problem)
        if forker.threads_of is None:
            self._warn()
        elif self._blame is None or self._blame.done():
            self._blame = asyncio.create_task(self._name_the_cause(forker.threads_of, str(problem)))

    async def _name_the_cause(self, threads_of: asyncio.Future[list[str]], problem: str) -> None:
        causes = await threads_of
        self._reason = f"{problem}, started by {'; '.join(causes)}" if causes else problem
        self._warn()

    def _warn(self) -> None:
        _log.warning("Each session of %s imports the app anew, since %s.", Path(self._app).name, self._reason)

    def refuse(self) -> None:
        """Start nothing any more; what waits for the app's import hears that it failed."""
        if self._forker is not None:
            self._forker.refuse()

    async def aclose(self) -> None:
        """End what sessions are started from."""
        if self._forker is not None:
            await self._forker.aclose()
        await self._spawner.aclose()
        if self._blame is not None:
            await self._blame
