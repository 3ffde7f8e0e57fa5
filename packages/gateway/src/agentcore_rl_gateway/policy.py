"""The policy version in force, and the boundary between two: no call is sampled by both."""

from __future__ import annotations

import asyncio

__all__ = ["PolicyGate"]


class PolicyGate:
    """Calls pass while it is open. `hold` closes it and waits for those inside.

        while gate.held:
            await gate.opened()
        version = gate.enter()
        try: ...
        finally: gate.leave()

    Attributes:
        version: in force; None until one is published.
        held: calls wait for a version.
        publishing: one version at a time is waited for and set.
    """

    def __init__(self, version: int | None = None) -> None:
        self.version = version
        self.held = False
        self.publishing = asyncio.Lock()
        self._inside = 0
        self._open = asyncio.Event()
        self._empty = asyncio.Event()
        self._waited_for = 0

    @property
    def inside(self) -> int:
        """Calls that are being sampled."""
        return self._inside

    async def opened(self) -> None:
        """Wait until it opens; it may be held again by then."""
        await self._open.wait()

    def enter(self) -> int | None:
        """Count as inside until `leave`; the version in force."""
        self._inside += 1
        return self.version

    def leave(self) -> None:
        """A call has been sampled."""
        self._inside -= 1
        if self._waited_for and not self._inside:
            self._empty.set()

    async def hold(self, timeout_s: float) -> bool:
        """Let no further call in and wait until none is inside.

        Returns:
            False when some were still inside after `timeout_s`; the gate stays closed all the same.
        """
        self._waited_for += 1
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self.held = True  # again, where somebody has released it meanwhile
                    self._open.clear()
                    if not self._inside:
                        return True
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return False
        finally:
            self._waited_for -= 1

    def publish(self, version: int) -> None:
        """Open the gate with this version in force."""
        self.version = version
        self.release()

    def release(self) -> None:
        """Open the gate; the version stays."""
        self.held = False
        self._open.set()
