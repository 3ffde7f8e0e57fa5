"""Carries records from the spool to the store, and announces them.

A record is safe once `Sink.accept` has returned: it is on the disk, or, while the disk cannot be
written, held in memory with `accepting` False. Threads then deliver, so that neither a
destination that hangs nor the way to it holds up others.
What cannot be delivered now is tried again for as long as the process lives, each destination at
its own pace; what a dead process left in its spool is delivered by the next one.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agentcore_rl.exceptions import (
    ConfigurationError,
    RecordUnreadable,
    StoreError,
    StoreUnavailable,
)
from agentcore_rl.lanes import Lane, Lanes
from agentcore_rl.logs import logger_of
from agentcore_rl.spool import Address, Spool, SpoolEntry, SpoolFile, SpoolFolder
from agentcore_rl.stores import Notice, Notices, RecordStore
from agentcore_rl.stores.keys import check_key
from agentcore_rl.stores.places import open_notices, open_store

__all__ = ["Sink", "drain_orphans"]

_log = logger_of(__name__)

FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 10.0
ADOPTION_S = 10.0
"""For so long a question waits for the spools of dead processes to be read."""
NOTICE_PATIENCE_S = 300.0
"""For so long an announcement is tried: the record is stored, and readers find it without one too."""


@dataclass(slots=True, eq=False)
class _Item:
    """One record on its way: on the disk (`file`) or in memory (`content`).

    Attributes:
        busy: a thread has it; no other may.
    """

    address: Address
    file: SpoolFile | None = None
    content: bytes | None = None
    folder: SpoolFolder | None = None  # of the dead process that left it
    stored_at: float | None = None
    busy: bool = False


class Sink:
    """Carries records to where they go. Thread-safe; nothing runs before the first use.

    Args:
        spool: root directory of the durable queue.
        first_retry_s, longest_retry_s: pauses of one destination after failures; they double, with jitter.
    """

    def __init__(
        self,
        spool: str | os.PathLike[str],
        *,
        first_retry_s: float = FIRST_RETRY_S,
        longest_retry_s: float = LONGEST_RETRY_S,
    ) -> None:
        self._spool = Spool(spool)
        self._retry_s = (first_retry_s, longest_retry_s)
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._adopting = False
        self._pending = 0
        self._keys: Counter[str] = Counter()
        self._held: Lane[_Item] = Lane("the spool", self._served(self._keep))
        self._lanes = Lanes(self._held, retry_s=self._retry_s, is_done=lambda: not self._pending)
        self._changed = self._lanes.changed
        self._folders: dict[SpoolFolder, int] = {}

    # ── what the app calls

    def start(self) -> None:
        """Begin to deliver what dead processes left in their spools. Returns at once.

        Where they left nothing, no thread is started before the first record: each would cost a session
        of the local runtime a millisecond.
        """
        if not self._spool.is_empty:
            self._start()

    def _start(self) -> None:
        if self._pid != os.getpid():  # a forked child: the parent delivers what it has
            self._reset()
        with self._changed:
            self._adopting = self._lanes.start(self._adopt) or self._adopting

    def accept(
        self,
        content: bytes,
        *,
        key: str,
        location: str,
        notice: Notice,
        bucket: str | None = None,
        prefix: str = "",
        queue: str | None = None,
    ) -> None:
        """Take over a record. Blocks for a write to the disk.

        When it returns the record is in the spool or, where that cannot be written, in memory.

        Args:
            content: the record's bytes.
            key: its key.
            location: its store, as `open_store` takes it.
            notice: what is sent once it is stored.
            bucket: as `open_store` takes it.
            prefix: as `open_notices` takes it, with the notice's run.
            queue: as `open_notices` takes it.

        Raises:
            ConfigurationError: the destination cannot exist; nothing was taken.
            ValueError: the key is no key; nothing was taken.
        """
        address = Address(check_key(key), location, bucket, prefix, queue, notice)
        _store(address)
        _notices(address)
        self._start()
        item = _Item(address)
        try:
            item.file = self._spool.add(SpoolEntry(address, content))
        except StoreUnavailable as error:
            _log.error("The record %s is held in memory: %s", key, error)
            item.content = content
        with self._changed:
            self._pending += 1
            self._keys[key] += 1
            if item.file is None:
                if not self._held.items:
                    self._lanes.failed(self._held)
                self._held.items.append(item)
            self._enqueue_put(item)

    @property
    def pending(self) -> int:
        """How many records are on their way: not yet stored, or not yet announced."""
        return self._pending if self._pid == os.getpid() else 0

    @property
    def accepting(self) -> bool:
        """Whether new rollouts may be taken: no record is held in memory for want of a spool."""
        return self._pid != os.getpid() or not self._held.items

    def holds(self, key: str) -> bool:
        """Whether a record with this key is on its way; waits until dead processes' spools are read."""
        self.start()
        with self._changed:
            self._changed.wait_for(lambda: not self._adopting, ADOPTION_S)
            return key in self._keys

    def wait_empty(self, timeout_s: float) -> bool:
        """Whether everything is delivered, waiting up to `timeout_s` seconds for it."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending and not self._adopting, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Deliver what can be delivered within `timeout_s` seconds, and stop.

        What is left stays in the spool for the next process. A record that is accepted afterwards
        goes to the spool alone.

        Returns:
            Whether everything is delivered.
        """
        if self._lanes.close(timeout_s):
            for folder in list(self._folders):
                folder.close()
            self._spool.close()
        if self._held.items:
            _log.error("%d records in memory could be neither spooled nor stored.", len(self._held.items))
        return self._pending == 0

    # ── threads

    def _adopt(self) -> None:
        try:
            self._adopt_orphans()
        except Exception:  # noqa: BLE001 - new records must be delivered all the same
            _log.exception("What dead processes left in %s cannot be delivered.", self._spool.root)
        finally:
            with self._changed:
                self._adopting = False
                self._changed.notify_all()

    def _served(self, part: Callable[[_Item], None]) -> Callable[[_Item], None]:
        """A part of the way, with what ends an item's way; whatever else is raised is for another try."""

        def serve(item: _Item) -> None:
            try:
                part(item)
            except RecordUnreadable as error:
                _log.error("%s It is set aside.", error)
                if item.file is not None:
                    item.file.set_aside()
                self._let_go(item)
            except (ConfigurationError, ValueError) as error:
                # Not for this release, or not with these settings: it stays where it is for another.
                _log.error(
                    "The record %s cannot be delivered and stays in the spool: %s", item.address.key, error
                )
                self._let_go(item)

        return serve

    # ── what is done for an item, a lane each

    def _keep(self, item: _Item) -> None:
        """Spool what is held in memory."""
        if item.content is not None:
            item.file = self._spool.add(SpoolEntry(item.address, item.content))
            item.content = None

    def _put(self, item: _Item) -> None:
        """Store it. That a record is there already is as good: it is this attempt's."""
        content = item.content
        if content is None:
            assert item.file is not None
            content = item.file.read().content
        _store(item.address).put_if_absent(item.address.key, content)
        item.stored_at = time.monotonic()
        # From here on memory is free: a notice that is not sent costs nobody the record.
        item.content = None
        address = item.address
        with self._changed:
            self._unhold(item)
            channel = (address.location, address.bucket, address.prefix, address.notice.run, address.queue)
            name = f"The channel of notices of run {address.notice.run}"
            self._lanes.add(item, ("notices", *channel), name, self._served(self._announce))

    def _announce(self, item: _Item) -> None:
        """Send the notice, and let go of the record."""
        assert item.stored_at is not None
        try:
            notices = _notices(item.address)
            if notices is not None:
                notices.send(item.address.notice)
        except StoreError as error:
            if time.monotonic() - item.stored_at < NOTICE_PATIENCE_S:
                raise
            _log.warning("The record %s is stored, but not announced: %s", item.address.key, error)
        if item.file is not None:
            # Left behind it would be found stored already, and be announced once more.
            with suppress(StoreUnavailable):
                item.file.remove()
        self._let_go(item)

    def _let_go(self, item: _Item) -> None:
        """The item is no longer this sink's: delivered, or left where it lies."""
        emptied = None
        with self._changed:
            self._unhold(item)
            if item.folder is not None:
                self._folders[item.folder] -= 1
                if not self._folders[item.folder]:
                    emptied = item.folder
                    del self._folders[emptied]
        if emptied is not None:
            emptied.close()
        with self._changed:
            self._pending -= 1
            self._keys -= Counter((item.address.key,))
            self._changed.notify_all()

    def _unhold(self, item: _Item) -> None:
        with suppress(ValueError):
            self._held.items.remove(item)

    def _enqueue_put(self, item: _Item) -> None:
        place = (item.address.location, item.address.bucket)
        name = f"The record store {item.address.location}"
        self._lanes.add(item, ("store", *place), name, self._served(self._put))

    def _adopt_orphans(self) -> None:
        for folder in self._spool.claim_orphans():
            items = []
            try:
                files = folder.files()
            except StoreUnavailable as error:
                _log.warning("%s", error)
                files = []
            for file in files:
                try:
                    items.append(_Item(file.read().address, file, folder=folder))
                except RecordUnreadable as error:
                    _log.error("%s It is set aside.", error)
                    file.set_aside()
                except StoreUnavailable as error:
                    _log.warning("%s", error)
            if not items:
                folder.close()
                continue
            with self._changed:
                self._folders[folder] = len(items)
                self._pending += len(items)
                self._keys.update(item.address.key for item in items)
                for item in items:
                    self._enqueue_put(item)


def drain_orphans(spool: str | os.PathLike[str], *, timeout_s: float = 30.0) -> bool:
    """Deliver what dead processes left in the spool below this root. Blocks.

    Returns:
        Whether nothing is left that could be delivered later. What is left stays in the spool.
    """
    if not Path(spool).is_dir():
        return True
    sink = Sink(spool)
    sink.start()
    sink.wait_empty(timeout_s)
    return sink.close(0.0)


def _store(address: Address) -> RecordStore:
    return open_store(address.location, bucket=address.bucket)


def _notices(address: Address) -> Notices | None:
    return open_notices(
        address.location,
        run=address.notice.run,
        bucket=address.bucket,
        prefix=address.prefix,
        queue=address.queue,
    )
