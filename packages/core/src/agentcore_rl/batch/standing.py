"""Where a run stands, as its journal says, to anybody who asks from outside.

Lists of runs must be cheap, so this module does without `dataclasses`, `pathlib` and `typing`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

from agentcore_rl.batch.hold import is_held
from agentcore_rl.exceptions import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Standing", "standing_of"]

_WINDOW_S = 60.0


class Standing:
    """Where a run stands.

    Attributes:
        asked: rollouts asked for.
        begun: of these, begun at least once.
        succeeded: of these, succeeded.
        failed: of these, failed, by failure kind.
        again: further attempts.
        late: records that came after their rollout's outcome and do not count.
        judged: rollouts with a reward.
        mean_reward: over the judged; None when there is none.
        rate: outcomes per second over the last minute of its work; None before the second outcome.
        alive: a client is at work on it.
        began_at: when its first rollout began (wall clock); None when none has.
        ended_at: when its latest outcome came (wall clock); None when none has.
    """

    __slots__ = (
        *("asked", "begun", "succeeded", "failed", "again", "late", "judged", "mean_reward"),
        *("rate", "alive", "began_at", "ended_at"),
    )

    def __init__(
        self,
        asked: int,
        begun: int,
        succeeded: int,
        *,
        failed: Mapping[str, int] | None = None,
        again: int = 0,
        late: int = 0,
        judged: int = 0,
        mean_reward: float | None = None,
        rate: float | None = None,
        alive: bool = False,
        began_at: float | None = None,
        ended_at: float | None = None,
    ) -> None:
        self.asked, self.begun, self.succeeded = asked, begun, succeeded
        self.failed: Mapping[str, int] = failed or {}
        self.again, self.late = again, late
        self.judged, self.mean_reward = judged, mean_reward
        self.rate, self.alive = rate, alive
        self.began_at, self.ended_at = began_at, ended_at

    @property
    def done(self) -> int:
        """Rollouts with an outcome."""
        return self.succeeded + sum(self.failed.values())

    @property
    def running(self) -> int:
        """Rollouts in flight; none where no client is at work."""
        return max(0, self.begun - self.done) if self.alive else 0

    @property
    def left(self) -> int:
        """Rollouts without an outcome."""
        return max(0, self.asked - self.done)

    @property
    def left_s(self) -> float | None:
        """Seconds until it ends at this rate; None when that cannot be told."""
        return self.left / self.rate if self.alive and self.rate else None

    @property
    def state(self) -> str:
        """running, done, or broken off."""
        if self.alive:
            return "running"
        return "broken off" if self.left else "done"

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "state": self.state,
            "asked": self.asked,
            "begun": self.begun,
            "running": self.running,
            "done": self.done,
            "succeeded": self.succeeded,
            "failed": dict(self.failed),
            "again": self.again,
            "late": self.late,
            "judged": self.judged,
            "mean_reward": self.mean_reward,
            "rate_per_s": self.rate,
            "left_s": self.left_s,
            "began_at": self.began_at,
            "ended_at": self.ended_at,
        }


def standing_of(folder: str | os.PathLike[str]) -> Standing:
    """Where the run in this folder stands. Blocks; disturbs nobody who writes to the journal.

    Raises:
        ConfigurationError: there is no journal, or it cannot be read.
    """
    path = os.path.abspath(os.path.join(folder, "journal.sqlite"))
    if not os.path.isfile(path):
        raise ConfigurationError(f"{os.fspath(folder)} has no journal: no client has begun a run in it.")
    alive = is_held(folder)
    # A journal that nobody writes can be read on a disk that nobody may write.
    quiet = "" if alive or os.path.exists(f"{path}-wal") else "&immutable=1"
    try:
        with closing(sqlite3.connect(f"{_uri(path)}?mode=ro{quiet}", uri=True)) as database:
            return _read(database, alive)
    except sqlite3.Error as error:
        raise ConfigurationError(f"The journal {path} cannot be read: {error}.") from error


def _uri(path: str) -> str:
    """The path as SQLite reads it (https://sqlite.org/uri.html): escaped where it would mean something."""
    path = path.replace("\\", "/") if os.name == "nt" else path
    for char in "%?#":
        path = path.replace(char, f"%{ord(char):02X}")
    return f"file://{'' if path.startswith('/') else '/'}{path}"


def _read(database: sqlite3.Connection, alive: bool) -> Standing:
    def one(query: str, *values: Any) -> Any:
        return database.execute(query, values).fetchone()

    (asked,) = one("SELECT count(*) FROM items")
    (begun,) = one("SELECT count(*) FROM (SELECT DISTINCT task, sample FROM attempts)")
    (attempts,) = one("SELECT count(*) FROM attempts")
    (late,) = one("SELECT coalesce(sum(late), 0) FROM winners")
    won = "FROM winners w JOIN outcomes o ON o.session = w.session"
    succeeded, judged, mean, began, ended = one(
        f"SELECT coalesce(sum(status = 'succeeded'), 0), count(reward), avg(reward), "
        f"(SELECT min(begun_at) FROM attempts), max(ended_at) {won}"
    )
    failed = dict(
        database.execute(
            f"SELECT coalesce(failure, 'unknown'), count(*) {won} WHERE status != 'succeeded' GROUP BY 1 "
            "ORDER BY 1"
        )
    )
    until = time.time() if alive else ended
    rate = None
    if until is not None and began is not None:
        since = max(began, until - _WINDOW_S)
        (lately,) = one(f"SELECT count(*) {won} WHERE ended_at >= ?", since)
        rate = lately / (until - since) if lately > 1 and until > since else None
    return Standing(
        asked,
        begun,
        succeeded,
        failed=failed,
        again=attempts - begun,
        late=late,
        judged=judged,
        mean_reward=mean,
        rate=rate,
        alive=alive,
        began_at=began,
        ended_at=ended,
    )
