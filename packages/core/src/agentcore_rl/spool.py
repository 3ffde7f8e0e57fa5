"""The durable queue on a session's disk.

    {root}/{process}/lock             locked while its process lives
    {root}/{process}/{age}.entry      one record with its destination
    {root}/{process}/{age}.partial    an entry that is being written; never read
    {root}/{process}/{age}.unreadable an entry that turned out to be damaged, kept for a person

Each process owns one folder under a lock that dies with it, so that a later process finds out whose
folders are orphans. From the rename of an entry on nothing is lost while the disk lives.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import secrets
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from agentcore_rl.decoders import decoder
from agentcore_rl.exceptions import RecordUnreadable, StoreUnavailable
from agentcore_rl.logs import logger_of
from agentcore_rl.stores import Notice
from agentcore_rl.stores.directory import make_folder, sync_folder, translated, write_durably

__all__ = ["Address", "Spool", "SpoolEntry", "SpoolFile", "SpoolFolder", "Waiting", "look_into"]

_log = logger_of(__name__)
_MAGIC = b"agentcore-rl/spool/1"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a record goes, and how it is announced.

    Attributes:
        key: the record's key in its store.
        location: the store, as `open_store` takes it.
        bucket: as `open_store` takes it.
        prefix: with which the key begins; `open_notices` takes it.
        queue: as `open_notices` takes it.
        notice: what is sent when the record is stored.
    """

    key: str
    location: str
    bucket: str | None
    prefix: str
    queue: str | None
    notice: Notice


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """One record on its way.

    Attributes:
        address: where it goes.
        content: its exact bytes.
    """

    address: Address
    content: bytes


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """One entry on the disk."""

    path: Path

    def read(self) -> SpoolEntry:
        """The whole entry.

        Raises:
            RecordUnreadable: it is damaged.
            StoreUnavailable: it cannot be read now.
        """
        with translated(f"The spool entry {self.path.name} cannot be read"):
            try:
                raw = self.path.read_bytes()
            except FileNotFoundError:
                raise RecordUnreadable(f"The spool entry {self.path.name} is gone.") from None
        return _unpacked(raw, self.path.name)

    def remove(self) -> None:
        """Remove the entry: it is delivered."""
        with translated(f"The spool entry {self.path.name} cannot be removed"), suppress(FileNotFoundError):
            self.path.unlink()

    def set_aside(self) -> None:
        """Keep a damaged entry under another name, where it is no longer in the way."""
        with suppress(OSError):
            self.path.rename(self.path.with_suffix(".unreadable"))


class SpoolFolder:
    """A folder of entries that this process has locked. Made by `create` and `claim`.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock
        self._numbers = itertools.count()
        _open_folders.add(self)

    @classmethod
    def create(cls, root: Path) -> SpoolFolder:
        """A new folder, locked.

        Raises:
            StoreUnavailable: it cannot be made.
        """
        with translated(f"The spool in {root} cannot be written"):
            make_folder(root)
            while True:
                path = root / f"{os.getpid()}-{secrets.token_hex(6)}"
                path.mkdir(mode=0o700)
                lock = _locked(path)
                # None: whoever looks for orphans was faster, and removes the folder again.
                if lock is not None:
                    sync_folder(root)
                    return cls(path, lock)

    @classmethod
    def claim(cls, path: Path) -> SpoolFolder | None:
        """The folder of a process that has died, locked; None while its process (or another claimant) lives.

        Raises:
            StoreUnavailable: it cannot be looked at.
        """
        with translated(f"The spool folder {path} cannot be read"):
            if not any(name == "lock" or name.endswith(".entry") for name in os.listdir(path)):
                with suppress(OSError):  # empty: its process died before it had locked it, or is about to
                    path.rmdir()
                return None
            lock = _locked(path)
        return None if lock is None else cls(path, lock)

    def add(self, entry: SpoolEntry) -> SpoolFile:
        """Keep an entry; it is on the disk when the call returns.

        Raises:
            StoreUnavailable: it could not be kept; no part of it is visible.
        """
        # Names sort by age, within one process exactly.
        name = f"{time.time_ns():020d}-{next(self._numbers):09d}"
        partial, final = self.path / f"{name}.partial", self.path / f"{name}.entry"
        with translated(f"The spool in {self.path.parent} cannot be written"):
            write_durably(partial, _packed(entry))
            try:
                partial.rename(final)
            except OSError:
                with suppress(OSError):
                    partial.unlink()
                raise
            sync_folder(self.path)
        return SpoolFile(final)

    def files(self) -> list[SpoolFile]:
        """The entries, oldest first.

        Raises:
            StoreUnavailable: the folder cannot be read.
        """
        with translated(f"The spool folder {self.path} cannot be read"):
            names = sorted(name for name in os.listdir(self.path) if name.endswith(".entry"))
        return [SpoolFile(self.path / name) for name in names]

    def close(self) -> None:
        """Unlock the folder, and remove it when it holds no entry."""
        if self._lock is None:
            return
        with suppress(OSError):
            names = set(os.listdir(self.path))
            if all(name == "lock" or name.endswith(".partial") for name in names):
                for name in sorted(names):
                    (self.path / name).unlink()
                self.path.rmdir()
        self.abandon()

    def abandon(self) -> None:
        """Let go of the lock in this process; a process that was forked from it keeps its own hold."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


class Spool:
    """The queue of this process, and access to those of processes that have died.

    The folder of its own is made and locked at the first `add`; a forked child makes another.

    Args:
        root: directory of all queues of this machine's processes.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.abspath(os.fspath(root)))
        self._own: SpoolFolder | None = None
        self._guard = threading.Lock()
        _spools.add(self)

    def add(self, entry: SpoolEntry) -> SpoolFile:
        """Keep an entry; it is on the disk when the call returns.

        Raises:
            StoreUnavailable: it could not be kept; no part of it is visible.
        """
        with self._guard:
            if self._own is not None and not self._own.path.is_dir():  # somebody has removed it
                self._own.abandon()
                self._own = None
            if self._own is None:
                self._own = SpoolFolder.create(self.root)
            folder = self._own
        return folder.add(entry)

    @property
    def is_empty(self) -> bool:
        """Whether there is no folder at all, of this process or another."""
        try:
            with os.scandir(self.root) as entries:
                return not any(entry.is_dir(follow_symlinks=False) for entry in entries)
        except OSError:  # no process has spooled anything yet, or this user must not see it
            return True

    def claim_orphans(self) -> Iterator[SpoolFolder]:
        """Folders of processes that have died, each locked; close each when it is drained.

        Folders that cannot be looked at are passed over, and named in the log.
        """
        try:
            folders = sorted(
                entry.path for entry in os.scandir(self.root) if entry.is_dir(follow_symlinks=False)
            )
        except OSError:  # no process has spooled anything yet, or this user must not see it
            return
        for path in folders:
            try:
                folder = SpoolFolder.claim(Path(path))
            except StoreUnavailable as error:
                _log.warning("%s", error)
                continue
            if folder is not None:
                yield folder

    def close(self) -> None:
        """Let go of the own folder, so that another process may drain what is left in it."""
        with self._guard:
            own, self._own = self._own, None
        if own is not None:
            own.close()

    def after_fork(self) -> None:
        """In a forked child: the parent's folder is not ours."""
        self._guard = threading.Lock()
        self._own = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the folder of one process.

    Attributes:
        folder: it.
        alive: its process lives, and delivers by itself.
        entries: records that wait.
        size: their bytes, with their addresses.
        damaged: entries that were set aside.
        oldest_at: when the oldest was spooled (wall clock); None when none waits.
        stores: locations that they wait for, each once.
    """

    folder: Path
    alive: bool
    entries: int
    size: int
    damaged: int
    oldest_at: float | None
    stores: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "folder": str(self.folder), "stores": list(self.stores)}


def look_into(root: str | os.PathLike[str]) -> Iterator[Waiting]:
    """What waits below the root of a spool, process by process; nothing is changed."""
    try:
        folders = sorted(
            Path(entry.path) for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)
        )
    except OSError:
        return
    for folder in folders:
        with suppress(OSError):
            names = sorted(os.listdir(folder))
            entries = [name for name in names if name.endswith(".entry")]
            damaged = sum(name.endswith(".unreadable") for name in names)
            if not entries and not damaged:
                continue
            stores: dict[str, None] = {}
            for name in entries:
                with suppress(RecordUnreadable, StoreUnavailable):
                    stores[SpoolFile(folder / name).read().address.location] = None
            size = sum((folder / name).stat().st_size for name in entries)
            oldest = int(entries[0].partition("-")[0]) / 1e9 if entries else None
            yield Waiting(folder, _lives(folder), len(entries), size, damaged, oldest, tuple(stores))


def _lives(folder: Path) -> bool:
    """Whether somebody holds the folder's lock."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _locked(path: Path) -> int | None:
    """A descriptor that holds the folder's lock; None when another has it, or the folder is going."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path / "lock", flags | os.O_CREAT, 0o600)
    except FileNotFoundError:  # the folder itself is gone
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held, there = os.fstat(descriptor), os.stat(path / "lock")
        # Whoever drained the folder may have removed the file while we opened it.
        if (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _packed(entry: SpoolEntry) -> bytes:
    header = msgspec.json.encode(entry.address)
    digest = hashlib.sha256(header)
    digest.update(entry.content)
    return b"%s %s %d\n%s%s" % (_MAGIC, digest.hexdigest().encode(), len(header), header, entry.content)


def _unpacked(raw: bytes, name: str) -> SpoolEntry:
    first, _, rest = raw.partition(b"\n")
    try:
        magic, digest, length = first.split(b" ")
        whole = magic == _MAGIC and digest == hashlib.sha256(rest).hexdigest().encode()
        if whole:
            address = decoder(Address).decode(rest[: int(length)])
            return SpoolEntry(address, rest[int(length) :])
    except (ValueError, msgspec.DecodeError):
        pass
    raise RecordUnreadable(f"The spool entry {name} is damaged.")


_open_folders: weakref.WeakSet[SpoolFolder] = weakref.WeakSet()
_spools: weakref.WeakSet[Spool] = weakref.WeakSet()


def _after_fork() -> None:
    # A lock lives as long as any process has it open: a child must not keep its parent's alive.
    for folder in list(_open_folders):
        folder.abandon()
    for spool in list(_spools):
        spool.after_fork()


os.register_at_fork(after_in_child=_after_fork)
