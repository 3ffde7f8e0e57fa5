"""Records and notices in a directory.

    {root}/{key}                 one record, a regular file
    {root}/.incoming/            puts under way, and what crashed processes left of them
    {folder}/{id}.notice         a notice that waits
    {folder}/{id}.{until}.taken  a notice that a receiver has until then (nanoseconds since the epoch)

Only regular files whose path is a key are records, so that other files (`journal.sqlite`, notices)
may lie beside them; `run.json` of a run's folder is told apart by its place.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from agentcore_rl.decoders import decoder
from agentcore_rl.exceptions import RecordNotFound, StoreUnavailable
from agentcore_rl.stores import Delivery, Notice, StoredObject
from agentcore_rl.stores.keys import check_key

__all__ = ["DirectoryNotices", "DirectoryStore", "make_folder", "sync_folder", "translated", "write_durably"]

_STALE_S = 3600.0
_POLL_S = 0.05
_RELEASED_NS = 1_000_000_000  # at once, the one who gave it back would be the next to have it
_WINDOWS = os.name == "nt"


class DirectoryStore:
    """A record store in a directory of a file system with hard links.

    The directory is made at the first put. Symbolic links inside it are never followed (the root
    itself may be one).

    Args:
        root: the directory.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(os.path.abspath(os.fspath(root)))
        self._swept = False

    @property
    def location(self) -> str:
        """The directory's absolute path."""
        return str(self._root)

    def __repr__(self) -> str:
        return f"DirectoryStore({str(self._root)!r})"

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Store `content` under `key` unless an object is there already (see `RecordStore`)."""
        target = self._root / check_key(key)
        with translated(f"The record {key} cannot be stored in {self._root}"):
            self._refuse_links(target)
            if not target.exists():
                make_folder(target.parent)
                stored = self._put(target, content)
            elif target.is_file():
                stored = False
            else:
                raise ValueError(f"The key {key!r} is a folder of other keys.")
            # Also for an object of another writer, who may not have come this far.
            sync_folder(target.parent)
            return stored

    def _put(self, target: Path, content: bytes) -> bool:
        incoming = self._root / ".incoming"
        make_folder(incoming)
        if not self._swept:
            self._swept = True
            _sweep(incoming)
        temporary = incoming / secrets.token_hex(16)
        try:
            write_durably(temporary, content)
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            with suppress(OSError):
                temporary.unlink()
        return True

    def get(self, key: str) -> bytes:
        """The whole object (see `RecordStore`)."""
        path = self._root / check_key(key)
        with translated(f"The record {key} cannot be read from {self._root}"):
            try:
                self._refuse_links(path)
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise RecordNotFound(f"There is no record {key} in {self._root}.") from None

    def _refuse_links(self, path: Path) -> None:
        at = self._root
        for part in path.relative_to(self._root).parts:
            at = at / part
            if at.is_symlink():
                raise OSError(
                    errno.ELOOP, "there is a symbolic link on its path, which is not followed", str(at)
                )

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """The objects whose key starts with `prefix`, in order (see `RecordStore`)."""
        with translated(f"The records in {self._root} cannot be listed"):
            yield from self._walk("", prefix, after.encode(errors="surrogatepass"))

    def _walk(self, folder: str, prefix: str, after: bytes) -> Iterator[StoredObject]:
        try:
            entries = list(os.scandir(self._root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        found: list[tuple[bytes, str, os.DirEntry[str]]] = []
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            key = folder + entry.name + ("/" if is_folder else "")
            wanted = key.startswith(prefix) or (is_folder and prefix.startswith(key))
            with suppress(UnicodeEncodeError):  # a name that is no text is not ours
                if wanted and (is_folder or (entry.is_file(follow_symlinks=False) and _is_key(key))):
                    found.append((key.encode(), key, entry))
        # A folder sorts with its slash, so that this order is the keys' order.
        for encoded, key, entry in sorted(found, key=lambda item: item[0]):
            if key.endswith("/"):
                if not encoded < after[: len(encoded)]:
                    yield from self._walk(key, prefix, after)
            elif encoded > after:
                with suppress(FileNotFoundError):
                    yield StoredObject(key, entry.stat(follow_symlinks=False).st_size)


class DirectoryNotices:
    """A channel of notices in a directory, for senders and receivers in any process of this machine.

    Args:
        folder: the directory; made at the first send.
        visibility_s: seconds until a delivery that was not acknowledged is delivered again.
    """

    def __init__(self, folder: str | os.PathLike[str], *, visibility_s: float = 30.0) -> None:
        self._folder = Path(os.path.abspath(os.fspath(folder)))
        self._visibility_ns = int(visibility_s * 1e9)
        self._numbers = itertools.count()

    def __repr__(self) -> str:
        return f"DirectoryNotices({str(self._folder)!r})"

    def send(self, notice: Notice) -> None:
        """Announce a record (see `Notices`)."""
        # Names sort by age: the oldest is delivered first.
        name = f"{time.time_ns():020d}-{next(self._numbers):06d}-{secrets.token_hex(4)}"
        temporary = self._folder / f"{name}.unsent"
        with translated(f"A notice cannot be sent to {self._folder}"):
            make_folder(self._folder)
            try:
                write_durably(temporary, msgspec.json.encode(notice))
                temporary.rename(self._folder / f"{name}.notice")
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
            sync_folder(self._folder)

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        """Up to `most` notices, waiting up to `wait_s` seconds for the first (see `Notices`)."""
        until = time.monotonic() + wait_s
        with translated(f"Notices cannot be received from {self._folder}"):
            while True:
                deliveries = self._take(most)
                left = until - time.monotonic()
                if deliveries or left <= 0:
                    return deliveries
                time.sleep(min(_POLL_S, left))

    def _take(self, most: int) -> list[Delivery]:
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return []
        deliveries: list[Delivery] = []
        for name in names:
            if len(deliveries) >= most:
                break
            if (identity := self._waiting(name)) is not None:
                delivery = self._taken(name, identity)
                if delivery is not None:
                    deliveries.append(delivery)
        return deliveries

    def _waiting(self, name: str) -> str | None:
        """The id of a notice that may be delivered now."""
        identity, _, ending = name.rpartition(".")
        if ending == "notice":
            return identity
        identity, _, until = identity.rpartition(".")
        if ending != "taken" or not until.isdecimal():
            return None
        now = time.time_ns()
        # Further away than anyone takes a notice for: the clock was set back since.
        return identity if int(until) <= now or int(until) > now + max(self._visibility_ns, 10**13) else None

    def _taken(self, name: str, identity: str) -> Delivery | None:
        token = f"{identity}.{time.time_ns() + self._visibility_ns}.taken"
        try:
            (self._folder / name).rename(self._folder / token)
        except FileNotFoundError:  # another receiver was faster
            return None
        try:
            content = (self._folder / token).read_bytes()
        except OSError:  # no file, or not readable: it must not keep the others back
            return None
        try:
            return Delivery(decoder(Notice).decode(content), token)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            with suppress(OSError):
                (self._folder / token).rename(self._folder / f"{identity}.unreadable")
            return None

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Remove these from the channel (see `Notices`)."""
        with translated(f"Notices cannot be removed from {self._folder}"):
            for delivery in deliveries:
                try:
                    (self._folder / delivery.token).unlink()
                except FileNotFoundError:
                    self._remove_redelivered(delivery.token.rpartition(".")[0].rpartition(".")[0])

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give these back (see `Notices`)."""
        until = time.time_ns() + min(self._visibility_ns // 2, _RELEASED_NS)
        with translated(f"Notices cannot be given back to {self._folder}"):
            for delivery in deliveries:
                identity = delivery.token.rpartition(".")[0].rpartition(".")[0]
                with suppress(FileNotFoundError):  # it is gone, or another receiver's by now
                    (self._folder / delivery.token).rename(self._folder / f"{identity}.{until}.taken")

    def _remove_redelivered(self, identity: str) -> None:
        """Remove a notice that came back, or went to another receiver, since it was delivered."""
        with suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                if name.startswith(f"{identity}."):
                    with suppress(FileNotFoundError):
                        (self._folder / name).unlink()


def write_durably(path: Path, content: bytes) -> None:
    """A new file with this content, on the disk when the call returns; nothing when it raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Entries of this folder that were made, renamed or removed are on the disk when the call returns."""
    if _WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """The folder and its parents, on the disk when the call returns."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _is_key(path: str) -> bool:
    try:
        check_key(path)
    except ValueError:
        return False
    return True


def _sweep(incoming: Path) -> None:
    """Remove what processes that died long ago left of their puts."""
    old = time.time() - _STALE_S
    with suppress(OSError):
        for entry in os.scandir(incoming):
            with suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < old:
                    os.unlink(entry.path)


_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission is denied to this user",
    errno.EPERM: "it is not permitted (the file system must allow hard links)",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "a name in it is too long for this file system",
    errno.ENOTDIR: "a part of its path is a file",
    errno.EXDEV: "it spans two file systems",
}


@contextmanager
def translated(sentence: str) -> Iterator[None]:
    """Operating system errors as StoreUnavailable, in a sentence."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
        raise StoreUnavailable(f"{sentence}: {reason}.") from error
