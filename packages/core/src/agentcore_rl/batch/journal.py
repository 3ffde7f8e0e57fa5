"""The client's diary of a run: who was started, what came of it, which attempt won.

One SQLite file in write-ahead mode, so that a killed client leaves a consistent one. Everything in
it but the phases' timings can be rebuilt from records. No method is for the event loop: all write to disk.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agentcore_rl.decoders import decoder
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.outcome import Phases, RequestIds, RolloutOutcome
from agentcore_rl.read.attempts import choose_attempt
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, FailureKind, Rollout, Status

__all__ = ["Journal", "Known"]

VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS items (
    task TEXT NOT NULL, sample INTEGER NOT NULL,
    PRIMARY KEY (task, sample)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    session TEXT PRIMARY KEY, task TEXT NOT NULL, sample INTEGER NOT NULL, attempt INTEGER NOT NULL,
    key TEXT NOT NULL, begun_at REAL, stopped INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (task, sample);
CREATE TABLE IF NOT EXISTS outcomes (
    session TEXT PRIMARY KEY, status TEXT NOT NULL, failure TEXT, message TEXT, retryable INTEGER NOT NULL,
    reward REAL, location TEXT, suspect INTEGER, collected INTEGER,
    matched INTEGER, wire_only INTEGER, callback_only INTEGER, differing INTEGER,
    judgement TEXT, ended_at REAL, witnessed INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS winners (
    task TEXT NOT NULL, sample INTEGER NOT NULL, session TEXT NOT NULL, late INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, sample)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS phases (
    session TEXT PRIMARY KEY, queued_s REAL, start_s REAL, run_s REAL, read_s REAL, total_s REAL NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What a journal knows of an attempt.

    Attributes:
        ids: its ids.
        stopped: it was stopped before it had an outcome.
        outcome: how it ended; None when that is not known.
        won: its outcome was delivered.
    """

    ids: RequestIds
    stopped: bool
    outcome: RolloutOutcome | None
    won: bool


class Journal:
    """An open journal; thread-safe.

    Every write is one transaction. After a crash of the process none is lost or halved, after one of
    the machine the latest may be.
    """

    def __init__(self, path: Path) -> None:
        """Open a journal, making it if need be.

        Args:
            path: the file; its folder must exist.

        Raises:
            ConfigurationError: it is no journal of this release, or cannot be opened.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        except sqlite3.Error as error:
            raise ConfigurationError(f"The journal {path} cannot be opened: {error}.") from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._database.close()
            raise ConfigurationError(f"{path} cannot be used as a journal: {error}.") from error
        except ConfigurationError:
            self._database.close()
            raise

    def _prepare(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise ConfigurationError(
                f"The journal {self.path} was written by another release (version {version})."
            )
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_TABLES)
        self._database.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        with self._lock:
            self._database.close()

    def add_items(self, items: Iterable[tuple[str, int]]) -> None:
        """Note the rollouts that are asked for, as (task, sample)."""
        self._write([("INSERT OR IGNORE INTO items VALUES (?, ?)", item) for item in items])

    def begin(self, ids: RequestIds) -> None:
        """Note that an attempt is about to be started: from here on its session may run."""
        self._write([(_ATTEMPT, (ids.session, ids.task, ids.sample, ids.attempt, ids.key, time.time()))])

    def stopped(self, sessions: Iterable[str]) -> None:
        """Note that these sessions were stopped before they had an outcome."""
        self._write([("UPDATE attempts SET stopped=1 WHERE session=?", (session,)) for session in sessions])

    def attempt_ended(self, outcome: RolloutOutcome, rollout: Rollout | None) -> None:
        """Note how an attempt ended, whether or not it will count.

        Args:
            outcome: of the attempt.
            rollout: the record it was read from; None when there is none.
        """
        ids, timings = outcome.request, outcome.timings
        how = _outcome(
            ids.session,
            outcome.status,
            outcome.failure,
            outcome.reward,
            outcome.location,
            rollout,
            witnessed=outcome.witnessed,
        )
        phases = (
            ids.session,
            timings.queued_s,
            timings.start_s,
            timings.run_s,
            timings.read_s,
            timings.total_s,
        )
        self._write(
            [
                how,
                ("INSERT OR REPLACE INTO phases VALUES (?, ?, ?, ?, ?, ?)", phases),
            ]
        )

    def won(self, outcome: RolloutOutcome, late: int = 0) -> None:
        """Note that this attempt's outcome is about to be delivered.

        Args:
            outcome: as it will be given to the caller.
            late: other attempts of the rollout that left a record.
        """
        ids = outcome.request
        self._write([(_WINNER, (ids.task, ids.sample, ids.session, late))])

    def late(self, task: str, sample: int) -> None:
        """Note that one more record of a rollout came after its outcome was delivered."""
        self._write([("UPDATE winners SET late=late+1 WHERE task=? AND sample=?", (task, sample))])

    def attempts_of(self, task: str, sample: int) -> list[Known]:
        """What is known of a rollout's attempts, in the order of their numbers."""
        with self._lock:
            rows = self._database.execute(_KNOWN, (task, sample)).fetchall()
        return [_known(row, task, sample) for row in rows]

    def recorded_sessions(self) -> set[str]:
        """Sessions whose record was read."""
        with self._lock:
            rows = self._database.execute("SELECT session FROM outcomes WHERE location IS NOT NULL")
            return {session for (session,) in rows}

    @property
    def empty(self) -> bool:
        """Whether nothing was ever asked for in it."""
        with self._lock:
            return self._database.execute("SELECT 1 FROM items LIMIT 1").fetchone() is None

    def rebuild(self, records: Iterable[tuple[str, Rollout]], *, location: str) -> None:
        """Write anew what records say: items, attempts, outcomes and winners.

        Winners that the journal has stay. What it knows beyond the records (timings, attempts that
        left none) stays too.

        Args:
            records: every stored attempt, with its key.
            location: of their store.
        """
        delivered = self._winners()
        rollouts: dict[tuple[str, int], list[Rollout]] = {}
        writes: list[tuple[str, tuple[Any, ...]]] = []
        for key, record in records:
            item = (record.task, record.sample)
            rollouts.setdefault(item, []).append(record)
            where = f"{location.rstrip('/')}/{key}"
            writes += [
                ("INSERT OR IGNORE INTO items VALUES (?, ?)", item),
                (_ATTEMPT, (record.session, *item, record.attempt, key, record.timings.accepted_at)),
                _outcome(
                    record.session,
                    record.status,
                    record.failure,
                    record.reward,
                    where,
                    record,
                    record.timings.accepted_at + record.timings.total_s,
                ),
            ]
        for item, attempts in rollouts.items():
            choice = choose_attempt(attempts, delivered.get(f"{item[0]}.{item[1]}"))
            winner = delivered.get(f"{item[0]}.{item[1]}", choice.chosen.session)
            late = sum(attempt.session != winner for attempt in attempts)
            writes.append(("INSERT OR REPLACE INTO winners VALUES (?, ?, ?, ?)", (*item, winner, late)))
        self._write(writes)

    def _write(self, statements: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for statement, values in statements:
                self._database.execute(statement, values)

    def _winners(self) -> dict[str, str]:
        with self._lock:
            return _winners(self._database)

    @staticmethod
    def read_winners(path: Path) -> Mapping[str, str]:
        """Rollout id -> session of the attempt delivered, as a journal says; empty when it cannot be read."""
        if not path.is_file():
            return {}
        try:
            # Nobody writes: then even a read-only connection need leave no files behind.
            quiet = "" if Path(f"{path}-wal").exists() else "&immutable=1"
            url = f"{path.absolute().as_uri()}?mode=ro{quiet}"
            with closing(sqlite3.connect(url, uri=True, timeout=2)) as database:
                return _winners(database)
        except sqlite3.Error:
            return {}


_ATTEMPT = (
    "INSERT OR IGNORE INTO attempts (session, task, sample, attempt, key, begun_at) VALUES (?, ?, ?, ?, ?, ?)"
)


# The latest word counts: a rollout that failed by infrastructure is tried again when its run is resumed.
_WINNER = "INSERT OR REPLACE INTO winners VALUES (?, ?, ?, ?)"
_KNOWN = """
SELECT a.session, a.attempt, a.key, a.stopped, w.session IS NOT NULL,
       o.status, o.failure, o.message, o.retryable, o.judgement, o.location, o.witnessed,
       p.queued_s, p.start_s, p.run_s, p.read_s, p.total_s
FROM attempts a
LEFT JOIN outcomes o ON o.session = a.session
LEFT JOIN phases p ON p.session = a.session
LEFT JOIN winners w ON w.session = a.session AND w.task = a.task AND w.sample = a.sample
WHERE a.task = ? AND a.sample = ? ORDER BY a.attempt, a.session
"""


def _known(row: tuple[Any, ...], task: str, sample: int) -> Known:
    session, attempt, key, stopped, won, status, kind, message, retryable, judgement = row[:10]
    location, witnessed = row[10:12]
    run = key.removesuffix(f"/{task}.{sample}/{session}.json").rpartition("/")[2]
    ids = RequestIds(run, task, sample, attempt, session, key)
    if status is None:
        return Known(ids, bool(stopped), None, bool(won))
    failure = None if kind is None else Failure(FailureKind(kind), message, retryable=bool(retryable))
    reward = None if judgement is None else decoder(Reward).decode(judgement)
    queued, start, ran, read, total = row[12:]
    phases = Phases(queued, start, ran, read, total or 0.0)
    seen = None if witnessed is None else bool(witnessed)
    outcome = RolloutOutcome(ids, Status(status), failure, reward, location, phases, witnessed=seen)
    return Known(ids, bool(stopped), outcome, bool(won))


def _outcome(
    session: str,
    status: Status,
    failure: Failure | None,
    reward: Reward | None,
    location: str | None,
    rollout: Rollout | None,
    ended_at: float | None = None,
    witnessed: bool | None = None,
) -> tuple[str, tuple[Any, ...]]:
    broke = (
        (None, None, False) if failure is None else (failure.kind.value, failure.message, failure.retryable)
    )
    value = None if reward is None else reward.value
    judgement = None if reward is None else msgspec.json.encode(reward).decode()
    counts: tuple[int | None, ...] = (None,) * 6
    if rollout is not None:
        crosscheck = rollout.crosscheck
        counts = (
            len(rollout.suspect),
            crosscheck.collected,
            crosscheck.matched,
            crosscheck.wire_only,
            crosscheck.callback_only,
            crosscheck.differing,
        )
    return (
        f"INSERT OR REPLACE INTO outcomes VALUES ({', '.join('?' * 16)})",
        (
            session,
            status.value,
            *broke,
            value,
            location,
            *counts,
            judgement,
            ended_at or time.time(),
            witnessed,
        ),
    )


def _winners(database: sqlite3.Connection) -> dict[str, str]:
    rows = database.execute("SELECT task, sample, session FROM winners")
    return {f"{task}.{sample}": session for task, sample, session in rows}
