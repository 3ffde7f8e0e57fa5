"""A runtime that runs: its server and its sessions, all on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from agentcore_rl.limits import Quotas
from agentcore_rl.local_runtime.fault_route import FaultRoute
from agentcore_rl.local_runtime.faults import Faults
from agentcore_rl.local_runtime.front import Front
from agentcore_rl.local_runtime.gate import Gate
from agentcore_rl.local_runtime.lifetimes import Lifetimes
from agentcore_rl.local_runtime.protocol import FrontProtocol
from agentcore_rl.local_runtime.service import DEFAULT_QUALIFIER, Service
from agentcore_rl.local_runtime.starting import Mode, ModeStarter
from agentcore_rl.local_runtime.table import SessionTable
from agentcore_rl.sink import drain_orphans

__all__ = ["Serving", "Terms"]

_DRAIN_S = 5.0
_DRAINS = 8
_IMPORT_SPOOL = "of-the-import"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a runtime serves, and on what terms.

    Attributes:
        apps: app file of each endpoint, by qualifier.
        directory: where logs and spools go.
        env: environment of the sessions.
        mode: how their processes start.
        quotas: what is refused.
        memory_floor_mib: memory that new sessions leave free.
        idle_timeout_s, max_lifetime_s: when sessions end by themselves; None: never.
        fault_route: whether `/_faults` is answered.
    """

    apps: Mapping[str, str]
    directory: Path
    env: Mapping[str, str]
    mode: Mode
    quotas: Quotas
    memory_floor_mib: float
    idle_timeout_s: float | None
    max_lifetime_s: float | None
    fault_route: bool


class Serving:
    """Made on the event loop that it lives on.

    Args:
        terms: what is served.
        faults: what goes wrong on purpose.
        sockets: a folder with a short path, which it owns.

    Attributes:
        service: answers calls past HTTP.
        stopping: to be set when it shall end.
    """

    def __init__(self, terms: Terms, faults: Faults, sockets: Path) -> None:
        self._terms, self._sockets = terms, sockets
        self.stopping = asyncio.Event()
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(_DRAINS, thread_name_prefix="local-runtime-drain")
        # Sessions hold the one end: it says so when this process has ended, however that came.
        self._watched, self._kept = os.pipe()
        gate = Gate(terms.quotas, terms.memory_floor_mib)
        self._tables = {name: self._table(name, app, gate) for name, app in terms.apps.items()}
        self.service = Service(self._tables, gate, faults)
        self._front = Front(self.service, FaultRoute(faults) if terms.fault_route else None)

    def _table(self, qualifier: str, app: str, gate: Gate) -> SessionTable:
        directory = self._terms.directory
        if qualifier != DEFAULT_QUALIFIER:
            directory = directory / "endpoints" / qualifier
        directory.mkdir(parents=True, exist_ok=True)
        # An app that opens its spool while it is imported must not open a session's.
        env = {"AGENTCORE_RL_SPOOL": str(directory / "spool" / _IMPORT_SPOOL)}
        starter = ModeStarter(
            self._terms.mode, app, {**self._terms.env, **env}, self._watched, directory / "fork-server.log"
        )
        return SessionTable(starter, gate, directory, self._sockets, self._drained)

    @property
    def starts(self) -> str:
        """How sessions of the default endpoint start, in words."""
        return self._tables[DEFAULT_QUALIFIER].starter.description

    async def run(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve on a listening socket until `stopping` is set, then end everything."""
        config = uvicorn.Config(
            self._front, http=FrontProtocol, ws="none", lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        starter = self._tables[DEFAULT_QUALIFIER].starter
        warming = asyncio.create_task(starter.warm())
        await starter.launched()
        ready()
        lifetimes = [asyncio.create_task(self._lifetimes(table).watch()) for table in self._tables.values()]
        draining = [
            self._drained(spool)
            for pattern in ("spool/*", "endpoints/*/spool/*")
            for spool in self._terms.directory.glob(pattern)
        ]
        await self.stopping.wait()
        self._closing.set()
        await self.service.close()
        for task in lifetimes:
            task.cancel()
        await asyncio.gather(*lifetimes, return_exceptions=True)
        await asyncio.gather(*(table.close() for table in self._tables.values()))
        server.should_exit = True
        await asyncio.gather(serving, warming, *draining)
        self._pool.shutdown()
        os.close(self._watched)
        os.close(self._kept)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _lifetimes(self, table: SessionTable) -> Lifetimes:
        return Lifetimes(
            table.alive,
            table.status_of,
            idle_timeout_s=self._terms.idle_timeout_s,
            max_lifetime_s=self._terms.max_lifetime_s,
        )

    def _drained(self, spool: Path) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(self._pool, self._drain, spool)

    def _drain(self, spool: Path) -> None:
        """Deliver what a dead session has left, trying for as long as the runtime lives."""
        for folder in (spool, spool.parent / _IMPORT_SPOOL):
            while not drain_orphans(folder, timeout_s=_DRAIN_S) and not self._closing.is_set():
                pass
            with contextlib.suppress(OSError):  # something is left, or it was never there
                folder.rmdir()
