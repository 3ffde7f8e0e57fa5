"""A user's own store is accepted by subclassing the suite."""

import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from agentcore_rl.stores import RecordStore
from agentcore_rl.testing import RecordStoreConformance
from sqlite_store import SQLiteStore

PUT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from sqlite_store import SQLiteStore
print(SQLiteStore(Path(sys.argv[2])).put_if_absent(sys.argv[3], sys.stdin.buffer.read()), flush=True)
"""


class TestSQLiteStore(RecordStoreConformance):
    """The suite runs over a record store that shares no code with ours."""

    many = 150

    def open_store(self, place: Path) -> RecordStore:
        return SQLiteStore(place / "records.sqlite")

    def command_that_puts(self, place: Path, key: str) -> Sequence[str]:
        plugins = Path(sys.modules["sqlite_store"].__file__ or "").parent
        return [sys.executable, "-c", PUT, str(plugins), str(place / "records.sqlite"), key]

    def plant_foreign(self, store: RecordStore, place: Path) -> bool:
        with closing(sqlite3.connect(place / "records.sqlite")) as connection, connection:
            connection.execute("CREATE TABLE others (key BLOB)")
            connection.execute("INSERT INTO others VALUES ('run/b.json')")
        return True
