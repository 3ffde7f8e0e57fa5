"""The policy version in force, and the boundary between two: no call is sampled by both."""

from __future__ import annotations

import asyncio

__all__ = ["PolicyGate"]


class _Passage:
    __slots__ = ("_gate",)

    def __init__(self, gate: PolicyGate) -> None:
        self._gate = gate

    async def __aenter__(self) -> int | None:
        return await self._gate.enter()

    async def __aexit__(self, *_: object) -> None:
        self._gate.leave()


class PolicyGate:
    """Calls pass while it is open. `hold` closes it and waits for those inside.

    Attributes:
        version: in force; None until one is published.
    """

    def __init__(self, version: int | None = None) -> None:
        self.version = version
        self._inside = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def held(self) -> bool:
        """Whether calls wait for a version."""
        return not self._open.is_set()

    @property
    def inside(self) -> int:
        """Calls that are being sampled."""
        return self._inside

    def passing(self) -> _Passage:
        """As an async context: wait until it is open, then count as inside; gives the version."""
        return _Passage(self)

    async def enter(self) -> int | None:
        """Wait until it is open, and count as inside until `leave`; the version in force."""
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()
        return self.version

    def leave(self) -> None:
        """A call has been sampled."""
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    async def hold(self, timeout_s: float) -> bool:
        """Let no further call in and wait until none is inside.

        Returns:
            False when some were still inside after `timeout_s`; the gate stays closed all the same.
        """
        self._open.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def publish(self, version: int) -> None:
        """Open the gate with this version in force."""
        self.version = version
        self._open.set()

    def release(self) -> None:
        """Open the gate; the version stays."""
        self._open.set()
