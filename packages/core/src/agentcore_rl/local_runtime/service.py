"""InvokeAgentRuntime and StopRuntimeSession past HTTP: refusals, faults, and the sessions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping

from agentcore_rl.exceptions import SessionLost
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.local_runtime.connection import Connection
from agentcore_rl.local_runtime.faults import FAULTS, REFUSALS, FaultRule, Faults
from agentcore_rl.local_runtime.gate import Gate
from agentcore_rl.local_runtime.process import SessionProcess
from agentcore_rl.local_runtime.refusals import AnswerLost, Refused, ServiceError
from agentcore_rl.local_runtime.table import SessionTable

__all__ = ["DEFAULT_QUALIFIER", "Service"]

DEFAULT_QUALIFIER = "DEFAULT"
"""The endpoint that every runtime has."""
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{32,255}")


class Service:
    """What the runtime does, for callers over HTTP and past it. Everything here runs on one event loop.

    Args:
        tables: the sessions of each endpoint, by qualifier.
        gate: what lets calls in.
        faults: what goes wrong on purpose.
    """

    def __init__(self, tables: Mapping[str, SessionTable], gate: Gate, faults: Faults) -> None:
        self._tables, self._gate, self.faults = tables, gate, faults
        self._killing: set[asyncio.Task[None]] = set()

    async def invoke(
        self,
        session: str,
        body: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        qualifier: str = DEFAULT_QUALIFIER,
    ) -> Connection:
        """Deliver a payload to a session, which is started if there is none (any more).

        Returns:
            The connection, with the head of the app's answer read; the caller closes it.

        Raises:
            Refused: the service says no.
            LaunchRejected: the app cannot be loaded.
            SessionLost: the session died, or gave no answer.
            AnswerLost: a fault that was asked for.
        """
        if not _SESSION.fullmatch(session):
            raise Refused(
                ServiceError.VALIDATION,
                f"A session id has 33 to 256 characters of [A-Za-z0-9-_], not {session!r}.",
            )
        table = self._table(qualifier)
        headers = list(headers)
        rule = self._faulty("invoke", session, new=not table.is_there(session))
        self._gate.call()
        fault = "" if rule is None else rule.fault
        if rule is not None and fault == "slow-start":
            await asyncio.sleep(rule.seconds)
        if fault == "duplicate":
            _, first = await self._deliver(table, session, headers, body)
            await first.content()
        process, connection = await self._deliver(table, session, headers, body, kill=fault == "kill-before")
        if rule is not None and fault == "kill":
            self._kill_in(rule.moment(), process)
        if fault == "kill-after":
            connection.after(lambda: self._kill_in(0.0, process))
        if fault == "lose-answer":
            await connection.content()
            raise AnswerLost(f"The answer of session {session} is lost, as the fault lose-answer asks.")
        return connection

    async def _deliver(
        self,
        table: SessionTable,
        session: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        *,
        kill: bool = False,
    ) -> tuple[SessionProcess, Connection]:
        process, connection = await table.reach(session)
        if kill:
            connection.close()
            await process.kill()
            raise SessionLost(f"The session's process ended by SIGKILL; its log is {process.log}.")
        await connection.ask("POST", "/invocations", headers, body)
        if connection.status >= 500 and not process.alive:
            # A server that is told to end cancels what runs, and answers so.
            connection.close()
            raise await process.loss()
        return process, connection

    async def stop(self, session: str, qualifier: str = DEFAULT_QUALIFIER) -> bool:
        """End a session and what it started; whether there was one.

        Raises:
            Refused: the service says no.
        """
        table = self._table(qualifier)
        self._faulty("stop", session)
        self._gate.call()
        return await table.stop(session)

    async def status(self, session: str) -> SessionStatus:
        """What a session of the default endpoint is doing now."""
        return await self._tables[DEFAULT_QUALIFIER].status(session)

    def _table(self, qualifier: str) -> SessionTable:
        if qualifier not in self._tables:
            raise Refused(
                ServiceError.MISSING,
                f"There is no endpoint {qualifier!r} of this runtime; there are: {', '.join(self._tables)}.",
            )
        return self._tables[qualifier]

    def _faulty(self, operation: str, session: str, *, new: bool = False) -> FaultRule | None:
        rule = self.faults.pick(operation, session, new=new)
        if rule is not None and rule.fault in REFUSALS:
            raise Refused(REFUSALS[rule.fault], f"{FAULTS[rule.fault]}, as the fault {rule.fault} asks.")
        return rule

    def _kill_in(self, after_s: float, process: SessionProcess) -> None:
        async def kill() -> None:
            await asyncio.sleep(after_s)
            await process.kill()

        task = asyncio.create_task(kill())
        self._killing.add(task)
        task.add_done_callback(self._killing.discard)

    async def close(self) -> None:
        """Make no more faults."""
        for task in self._killing:
            task.cancel()
        await asyncio.gather(*self._killing, return_exceptions=True)
