"""What the runtime lets in: AgentCore's quotas, and this machine's memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from agentcore_rl.limits import Quotas, RateLimiter, Slots
from agentcore_rl.local_runtime.refusals import Refused, ServiceError

__all__ = ["BURST_S", "MEMORY_FLOOR_MIB", "Gate", "available_mib"]

MEMORY_FLOOR_MIB = 512.0
"""Memory that new sessions leave to everybody else."""
BURST_S = 1.0
"""Seconds' worth of calls that may come at once: who paces calls evenly at the very rate, some of them late
and the next early, is never throttled."""


class Gate:
    """Refuses what is too much. Everything here runs on one event loop.

    Args:
        quotas: rates and the number of sessions; None is no limit.
        memory_floor_mib: no session is started while less memory is available; 0 is no limit.
        clock: seconds that never go back.
    """

    def __init__(
        self, quotas: Quotas, memory_floor_mib: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.quotas = quotas
        self._floor_mib = memory_floor_mib
        self._interactions = _bucket(quotas.interactions_per_s, clock)
        self._new_sessions = _bucket(quotas.new_sessions_per_s, clock)
        self._sessions = Slots(quotas.active_sessions)

    def call(self) -> None:
        """Let one call of any kind in.

        Raises:
            Refused: throttled.
        """
        if self._interactions.try_take() > 0:
            raise Refused(
                ServiceError.THROTTLED,
                f"Rate exceeded: this runtime takes {self.quotas.interactions_per_s:g} calls per second.",
            )

    def new_session(self) -> None:
        """Let a new session in; `session_ended` gives its place back.

        Raises:
            Refused: throttled, or over a quota.
        """
        available = available_mib() if self._floor_mib else None
        if available is not None and available < self._floor_mib:
            raise Refused(
                ServiceError.QUOTA,
                f"This machine has {available:.0f} MiB of memory left, and {self._floor_mib:g} MiB "
                "are kept free: no session can be started until others have ended.",
            )
        if not self._sessions.try_take():
            raise Refused(
                ServiceError.QUOTA,
                f"maxVms limit exceeded: {self.quotas.active_sessions} sessions are active already.",
            )
        if self._new_sessions.try_take() > 0:
            self._sessions.release()
            raise Refused(
                ServiceError.THROTTLED,
                f"Rate exceeded: this runtime starts {self.quotas.new_sessions_per_s:g} sessions per second.",
            )

    def session_ended(self) -> None:
        """A session that was let in has ended."""
        self._sessions.release()


def _bucket(rate: float | None, clock: Callable[[], float]) -> RateLimiter:
    return RateLimiter(rate, burst=max(1.0, (rate or 0.0) * BURST_S), clock=clock)


def available_mib() -> float | None:
    """Memory that new processes can have, in MiB, by the machine and by this container; None: not known."""
    if sys.platform != "linux":
        return None
    try:
        said = Path("/proc/meminfo").read_text()
        available = int(said.partition("MemAvailable:")[2].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = (group / "memory.stat").read_text().partition("\ninactive_file ")[2].split()[0]
        return min(available, (most - used + int(cached)) / 2**20)
    except (OSError, IndexError, ValueError):  # no container, or one without a limit
        return available
