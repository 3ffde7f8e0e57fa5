"""What one turn of an event loop costs its thread: the CPU between two looks at its clock."""

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class LoopClock:
    """Looks at the CPU time of the loop's thread every millisecond, from inside the loop.

    CPU of the thread, not time on the wall: on a busy machine a loop waits for a core and blocks nobody.

    Attributes:
        longest_s: most CPU between two looks since `reset`: of one callback, and of what ran beside it.
    """

    longest_s: float = 0.0
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Begin to look; call it on the loop."""
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def reset(self) -> None:
        """Forget what was seen; from any thread."""
        self.longest_s = 0.0

    async def _look(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.longest_s = max(self.longest_s, now - before)
            before = now


WORK_S = 0.012
"""CPU that `slowness` takes on an idle machine of this project's."""


def slowness() -> float:
    """How many times as much CPU as on an idle machine the same work takes now; at least 1.

    Bytes are moved and Python steps taken, as a loop does: with others on the machine its caches are theirs.
    """
    began = time.thread_time()
    b"".join([bytes(65_536) for _ in range(100)]).count(b"x")
    for number in range(50_000):
        number += 1  # noqa: PLW2901
    return max(1.0, (time.thread_time() - began) / WORK_S)
