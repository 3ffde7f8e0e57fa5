"""The append-only log of calls: one writer, any number of readers afterwards.

An entry is written with one `write` before the caller goes on, so a process that is killed loses nothing
that it had answered. A machine that loses power may: `fsync=True` waits for the disk, and calls that wait at
the same time share one flush (group commit).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.logs import logger_of
from agentcore_rl_gateway.log.entries import Entry
from agentcore_rl_gateway.log.frames import LARGEST, MAGIC, frame, read_frame, scan

__all__ = ["CallLog", "Place", "read_log"]

logger = logger_of(__name__)

SEGMENT_BYTES = 64 * 2**20
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Entry)


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where an entry stands: number of its file, offset and length of its frame."""

    segment: int
    offset: int
    length: int


class CallLog:
    """The log in a folder, open for writing. One process may have it open.

    Args:
        folder: made if it is missing.
        fsync: `settle` waits until the disk has what was appended.
        segment_bytes: a file that has reached this size is followed by another.

    Attributes:
        fsync: as given.
        cut: bytes of a torn tail that were cut off at the opening.

    Raises:
        ConfigurationError: the folder cannot be written, another process writes it, or a file in it that is
            not the last is damaged.
    """

    def __init__(self, folder: Path, *, fsync: bool = False, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.cut = 0
        self.fsync = fsync
        self._segment_bytes = segment_bytes
        self._flushing: asyncio.Task[None] | None = None
        self._next_flush: asyncio.Task[None] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"The gateway's log cannot be kept in {folder} ({error.strerror or error}): name another "
                "folder, or make this one writable."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigurationError(
                f"Another gateway writes its log into {folder}: end it, or name another folder."
            ) from None
        try:
            self._segment = max(map(_number, _files(folder)), default=0)
            self._open(self._segment or 1)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, number: int) -> None:
        self._segment = number
        self._file = os.open(self._path(number), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size
        if self._size < len(MAGIC):
            os.ftruncate(self._file, 0)
            os.write(self._file, MAGIC)
            self._size = len(MAGIC)

    def _path(self, number: int) -> Path:
        return self.folder / f"calls-{number:06d}.log"

    def replay(self) -> Iterator[tuple[Place, Entry]]:
        """Every whole entry, oldest first; cuts a torn tail off. Call it before the first append."""
        for path in _files(self.folder):
            number, end = _number(path), len(MAGIC)
            content = path.read_bytes()
            if not content.startswith(MAGIC):
                raise ConfigurationError(f"{path} is no log of this gateway: move it out of the folder.")
            for offset, payload in scan(memoryview(content)):
                end = offset + 8 + len(payload)
                yield Place(number, offset, 8 + len(payload)), _DECODER.decode(payload)
            if end == len(content):
                continue
            if number != self._segment:
                raise ConfigurationError(
                    f"{path} is damaged at byte {end} and is not the last file of its log: restore it from a "
                    "copy, or move the folder away to begin anew."
                )
            self.cut = len(content) - end
            os.ftruncate(self._file, end)
            self._size = end
            logger.warning("cut %d bytes of a torn entry off %s", self.cut, path.name)

    def append(self, entry: Entry) -> Place:
        """Write one entry; when this returns, the operating system has it.

        Raises:
            OSError: the disk is full or broken, or the entry is too large. What was written of the entry is
                taken back.
        """
        payload = _ENCODER.encode(entry)
        if len(payload) > LARGEST:
            raise OSError(errno.EFBIG, f"an entry of {len(payload)} bytes, and {LARGEST} is the most")
        content = frame(payload)
        if self._size + len(content) > self._segment_bytes and self._size > len(MAGIC):
            if self.fsync:
                os.fsync(self._file)
            os.close(self._file)
            self._open(self._segment + 1)
        place = Place(self._segment, self._size, len(content))
        view = memoryview(content)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(content)
        return place

    async def settle(self) -> None:
        """Wait until everything appended so far is on the disk; at once without `fsync`.

        Those who come while a flush runs share the one that follows it.
        """
        if not self.fsync:
            return
        if self._next_flush is None:
            self._next_flush = asyncio.create_task(self._flush_after(self._flushing))
        await asyncio.shield(self._next_flush)

    async def _flush_after(self, running: asyncio.Task[None] | None) -> None:
        if running is not None:
            await asyncio.wait([running])
        self._flushing, self._next_flush = self._next_flush, None
        file = os.dup(self._file)  # ours, should another file follow meanwhile
        try:
            await asyncio.to_thread(os.fdatasync, file)
        finally:
            os.close(file)

    def read(self, place: Place) -> Entry:
        """The entry at a place; from any thread.

        Raises:
            ConfigurationError: the file has been damaged since it was written.
        """
        content = None
        if place.segment == self._segment:
            with contextlib.suppress(OSError):  # closed meanwhile by whoever appends
                content = os.pread(self._file, place.length, place.offset)
        if content is None or place.segment != self._segment:
            with self._path(place.segment).open("rb") as file:
                file.seek(place.offset)
                content = file.read(place.length)
        entry: Entry = _DECODER.decode(read_frame(content))
        return entry

    def close(self) -> None:
        """Flush and close; another process may open the log then."""
        if self.fsync:
            os.fsync(self._file)
        os.close(self._file)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_log(folder: Path) -> Iterator[Entry]:
    """Every whole entry of a log that nobody needs to have open, oldest first; changes nothing."""
    for path in _files(folder):
        for _, payload in scan(memoryview(path.read_bytes())):
            yield _DECODER.decode(payload)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("calls-*.log"))


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("calls-"))
