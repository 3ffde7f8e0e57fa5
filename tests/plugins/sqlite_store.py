"""A second record store, written against the docstrings of `RecordStore` alone: one table of SQLite."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from agentcore_rl.exceptions import RecordNotFound, StoreUnavailable
from agentcore_rl.stores import StoredObject
from agentcore_rl.stores.keys import check_key


class SQLiteStore:
    """Records in a file; each call has a connection of its own, so that any thread may make it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def location(self) -> str:
        """A URL of the file."""
        return f"sqlite://{self._file}"

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Insert a row unless the key is there."""
        check_key(key)
        with closing(self._connect()) as connection, connection:
            done = connection.execute("INSERT OR IGNORE INTO records VALUES (?, ?)", (key.encode(), content))
            return done.rowcount == 1

    def get(self, key: str) -> bytes:
        """The row's content."""
        check_key(key)
        with closing(self._connect()) as connection:
            row = connection.execute("SELECT content FROM records WHERE key = ?", (key.encode(),)).fetchone()
        if row is None:
            raise RecordNotFound(f"There is no record {key} in {self._file}.")
        return bytes(row[0])

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """Rows in the order of the key's bytes, a page at a time."""
        at = after.encode()
        while True:
            with closing(self._connect()) as connection:
                page = connection.execute(
                    "SELECT key, length(content) FROM records WHERE key > ? AND substr(key, 1, ?) = ? "
                    "ORDER BY key LIMIT 100",
                    (at, len(prefix.encode()), prefix.encode()),
                ).fetchall()
            for key, size in page:
                yield StoredObject(key.decode(), size)
            if not page:
                return
            at = page[-1][0]

    def _connect(self) -> sqlite3.Connection:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._file, timeout=30)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS records (key BLOB PRIMARY KEY, content BLOB NOT NULL)"
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"The records in {self._file} cannot be reached: {error}.") from error
        return connection
