"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.export.formats.arrow_schemas import arrow

__all__ = ["WholeFile"]

_FLUSH_ENTRIES, _FLUSH_BYTES = 256, 32 * 2**20


class WholeFile:
    """Entries, written beside the place where they belong and put there by `commit`.

    Leaving the `with` block without it takes them away; what had been at the place stays as it was.

    Attributes:
        path: the place.
        entries: written so far.
    """

    def __init__(self, path: Path, schema: Any = None) -> None:
        """Begin a file.

        Args:
            path: where it belongs.
            schema: Arrow schema of a Parquet file; None writes JSON lines.

        Raises:
            ConfigurationError: it cannot be written there.
        """
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder; --out takes the name of a file.")
        self.path = path
        self.entries = 0
        self._schema = schema
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._file: BinaryIO | None = None
        self._parquet: Any = None
        self._batch: list[Mapping[str, Any]] = []
        self._held = 0

    def __enter__(self) -> Self:
        with self._written():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb")
        if self._schema is not None:
            self._parquet = arrow().parquet.ParquetWriter(self._file, self._schema, compression="zstd")
        return self

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add an entry.

        Raises:
            ConfigurationError: the place takes no more, as on a full disk.
        """
        assert self._file is not None
        self.entries += 1
        if self._schema is None:
            with self._written():
                self._file.write(msgspec.json.encode(entry) + b"\n")
            return
        self._batch.append(entry)
        self._held += _weight(entry)
        if len(self._batch) >= _FLUSH_ENTRIES or self._held >= _FLUSH_BYTES:
            self._flush()

    def commit(self) -> int:
        """Put the file at its place, on the disk; its size in bytes.

        Raises:
            ConfigurationError: it cannot be put there, as on a full disk.
        """
        assert self._file is not None
        if self._parquet is not None:
            self._flush()
        with self._written():
            if self._parquet is not None:
                self._parquet.close()
                self._parquet = None
            self._file.flush()
            os.fsync(self._file.fileno())
            size = self._file.tell()
            self._file.close()
            self._file = None
            self._partial.replace(self.path)
        return size

    def _flush(self) -> None:
        if self._batch:
            table = arrow().Table.from_pylist(self._batch, schema=self._schema)
            with self._written():
                self._parquet.write_table(table)
        self._batch, self._held = [], 0

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"{self.path} cannot be written: {error.strerror or error}. Name another place with --out."
            ) from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing writes what is held back, which a full disk refuses once more: why is told already.
        if self._parquet is not None:
            with contextlib.suppress(OSError):
                self._parquet.close()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._partial.unlink(missing_ok=True)


def _weight(entry: Mapping[str, Any]) -> int:
    """About how many bytes an entry takes while it waits for its row group."""
    if "ids" in entry:
        return 64 * len(entry["ids"])
    turns = [turn for path in entry.get("trajectories", ()) for turn in path["turns"]]
    tokens = [turn["tokens"] for turn in turns if turn["tokens"] is not None]
    ids = sum(len(one["answer"]) * 2 + len(one["prompt_new"] or ()) for one in tokens)
    return sum(map(len, entry.get("messages", ()))) + 64 * ids + 2000 * len(turns) + 2000
