"""The private threads of a batch: blocking calls of stores and of the journal are made in them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from agentcore_rl.logs import logger_of

__all__ = ["Threads", "finish"]

_log = logger_of(__name__)
T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end whatever is cancelled meanwhile; a cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:  # noqa: BLE001 - raised below, from the task itself
            break
    if cancelled is not None:
        raise cancelled
    return task.result()


class Threads:
    """Some threads for stores and notices, and one for the journal, so that its writes keep their order."""

    def __init__(self, number: int = 16) -> None:
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="agentcore-rl-batch")
        self._diary = ThreadPoolExecutor(1, thread_name_prefix="agentcore-rl-journal")

    async def call(self, function: Callable[[], T]) -> T:
        """What a blocking call of a store or a channel returns."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def recall(self, function: Callable[[], T]) -> T:
        """What a blocking call of the journal returns."""
        return await asyncio.get_running_loop().run_in_executor(self._diary, function)

    async def note(self, write: Callable[[], None]) -> None:
        """Write to the journal. It can be rebuilt from records, so its failure ends nothing."""
        try:
            # Shielded: what has been decided is written, also when all is being given up.
            await asyncio.shield(self.recall(write))
        except sqlite3.Error as error:
            _log.warning("The journal could not be written (%s); it can be rebuilt from the records.", error)

    async def aclose(self) -> None:
        """Wait for the journal's writes; calls of stores are left to end by themselves."""
        await self.recall(lambda: None)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._diary.shutdown(wait=False)
