"""Hear: notices and a slow LIST. Both only say "look at this key"; the record is the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from agentcore_rl.batch.flight import Pace
from agentcore_rl.batch.threads import Threads
from agentcore_rl.exceptions import StoreError
from agentcore_rl.logs import logger_of
from agentcore_rl.stores import Delivery, Notices, RecordStore

__all__ = ["Ear"]

_log = logger_of(__name__)


class Ear:
    """Listens for records of one run.

    Args:
        store: where they are put.
        notices: the channel that announces them; None: the store is listed alone.
        folder: what their keys begin with.
        pace: how often.
        threads: where blocking calls are made.
        wanted: whether somebody waits for this key; called in any thread.
        heard: called with each key that is wanted.
    """

    def __init__(
        self,
        store: RecordStore,
        notices: Notices | None,
        *,
        folder: str,
        pace: Pace,
        threads: Threads,
        wanted: Callable[[str], bool],
        heard: Callable[[str], None],
    ) -> None:
        self._store, self._notices = store, notices
        self._folder, self._pace, self._threads = folder, pace, threads
        self._wanted, self._heard = wanted, heard

    async def hear(self) -> None:
        """Receive notices for as long as the batch lives."""
        if self._notices is None:
            return
        notices, trouble = self._notices, 0
        while True:
            try:
                foreign = await self._receive(notices)
                trouble = 0
            except StoreError as error:
                trouble += 1
                _log.warning("Notices cannot be heard (%s); the store is listed meanwhile.", error)
                await asyncio.sleep(min(2.0**trouble, 30.0))
                continue
            # Those of others were given back; an eager one must not spin here.
            await asyncio.sleep(0.2 if foreign else 0)

    async def _receive(self, notices: Notices) -> bool:
        """Receive some notices, acknowledge ours and give back others; whether there were any of those."""
        deliveries = await self._threads.call(lambda: notices.receive(most=10, wait_s=self._pace.hear_s))
        ours = [delivery for delivery in deliveries if delivery.notice.key.startswith(self._folder)]
        # Begun before the records are read, so that the end of the batch does not come between.
        acked = asyncio.ensure_future(self._done_with(notices.ack, ours))
        for delivery in ours:
            self._heard(delivery.notice.key)
        await asyncio.shield(acked)
        others = [delivery for delivery in deliveries if delivery not in ours]
        await self._done_with(notices.release, others)
        return bool(others)

    async def _done_with(
        self, what: Callable[[Sequence[Delivery]], None], deliveries: Sequence[Delivery]
    ) -> None:
        """Acknowledge or give back. What fails costs nothing: they are delivered again, and passed over."""
        if not deliveries:
            return
        try:
            await self._threads.call(lambda: what(deliveries))
        except StoreError as error:
            _log.warning("%s They will be delivered again.", error)

    async def look(self) -> None:
        """List the store now and then for as long as the batch lives."""
        while True:
            began = time.monotonic()
            try:
                for key in await self._threads.call(self._listed):
                    self._heard(key)
            except StoreError as error:
                _log.warning("The records of %s cannot be listed now: %s", self._folder, error)
            took = time.monotonic() - began
            await asyncio.sleep(max(self._pace.list_s, 10 * took))

    def _listed(self) -> list[str]:
        # What nobody waits for is dropped here: a run may have any number of records.
        return [stored.key for stored in self._store.list(self._folder) if self._wanted(stored.key)]
