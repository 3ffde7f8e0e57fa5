"""Reading the records of a run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

from agentcore_rl.codec import decode_record
from agentcore_rl.exceptions import ConfigurationError, RecordNotFound, RecordUnreadable
from agentcore_rl.read.attempts import Choice, choose_attempt
from agentcore_rl.rollout import Rollout
from agentcore_rl.stores import RecordStore

__all__ = ["Rollouts", "Run", "read_run"]

_GATEWAY = "gateway"  # the log of the run's own gateway
_OWN_FILES = re.compile(r"run\.json|journal\.sqlite(-wal|-shm)?|probe-[^/]+\.json")


class Run:
    """The records of one run, decoded one by one as they are asked for.

    The keys are listed when the object is made; a record that is stored later is not seen.

    Attributes:
        id: the run's id.
        store: where its records are.
        prefix: what stands before the run's id in their keys.
        asked: how many rollouts were asked for, as run.json says; None without one. Those whose
            session died without a record are in it and not in `rollouts`.
    """

    def __init__(
        self,
        store: RecordStore,
        run: str,
        *,
        prefix: str = "",
        winners: Mapping[str, str] | None = None,
        asked: int | None = None,
    ) -> None:
        """List the records of a run.

        Args:
            store: where they are.
            run: the run's id.
            prefix: what stands before the run's id in their keys.
            winners: rollout id -> session of the attempt that was delivered to somebody before.
            asked: how many rollouts were asked for, where that is known.
        """
        self.id = run
        self.store = store
        self.prefix = prefix
        self.asked = asked
        self._winners = dict(winners or {})
        self._keys: dict[str, list[str]] = {}
        self._unreadable: dict[str, str] = {}
        self._checked: set[str] = set()
        self._late: dict[str, int] = {}
        start = f"{prefix}{run}/"
        for stored in store.list(start):
            parts = stored.key[len(start) :].split("/")
            if len(parts) == 2 and parts[1].endswith(".json"):
                self._keys.setdefault(parts[0], []).append(stored.key)
            elif parts[0] != _GATEWAY and (len(parts) > 1 or not _OWN_FILES.fullmatch(parts[0])):
                self._unreadable[stored.key] = "not at a record's place: RUN/TASK.SAMPLE/SESSION.json"

    @property
    def ids(self) -> list[str]:
        """The rollout ids (`task.sample`) under which something is stored, sorted."""
        return sorted(self._keys)

    @property
    def rollouts(self) -> Rollouts:
        """The chosen attempt of every rollout, in the order of `ids`; each pass decodes anew."""
        return Rollouts(self)

    @property
    def late(self) -> Mapping[str, int]:
        """Rollout id -> how many of its attempts are stored and do not count; only where there are any."""
        self._check_all()
        return MappingProxyType(self._late)

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Key -> reason, for every object in the run that is not a readable record of it.

        Decodes what no pass over `rollouts` has decoded yet.
        """
        self._check_all()
        return MappingProxyType(self._unreadable)

    def attempts(self, task: str, sample: int = 0) -> list[Rollout]:
        """All readable attempts of a rollout, in the order of their numbers; empty when there is none."""
        choice = self._choice(f"{task}.{sample}")
        if choice is None and sample == 0:  # a caller's own input_id is a task with sample 0
            choice = self._choice(task)
        if choice is None:
            return []
        return sorted((choice.chosen, *choice.late), key=lambda rollout: (rollout.attempt, rollout.session))

    def find(self, rollout_id: str) -> Rollout:
        """The chosen attempt of the rollout with this id (`task.sample`) or with this beginning of one.

        Raises:
            RecordNotFound: no rollout's id begins so, several do, or its records cannot be read.
        """
        found = (
            [rollout_id] if rollout_id in self._keys else [i for i in self.ids if i.startswith(rollout_id)]
        )
        if not found:
            raise RecordNotFound(
                f"Run {self.id} has no rollout {rollout_id!r}. It has {len(self._keys)}{_some(self.ids)}."
            )
        if len(found) > 1:
            raise RecordNotFound(f"{rollout_id!r} fits {len(found)} rollouts of run {self.id}{_some(found)}.")
        choice = self._choice(found[0])
        if choice is None:
            reasons = {self._unreadable[key] for key in self._keys[found[0]]}
            raise RecordNotFound(
                f"The record of rollout {found[0]} cannot be read: {'; '.join(sorted(reasons))}"
            )
        return choice.chosen

    def to_arrow(self) -> Any:
        """The chosen attempts as an Arrow table, one row each (`run_table.rollout_row` has the columns).

        Raises:
            MissingDependencyError: pyarrow is not installed (the `notebook` extra).
        """
        from agentcore_rl.read.run_table import arrow_table

        return arrow_table(self.rollouts)

    def to_pandas(self) -> Any:
        """The same as a pandas frame.

        Raises:
            MissingDependencyError: pandas or pyarrow is not installed (the `notebook` extra).
        """
        from agentcore_rl.read.run_table import pandas_frame

        return pandas_frame(self.rollouts)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        from agentcore_rl.read.notebook import run_html

        return run_html(self)

    def _choice(self, rollout_id: str) -> Choice[Rollout] | None:
        """The readable attempts of a rollout and which of them counts; notes what is not readable."""
        read = [self._read(rollout_id, key) for key in self._keys.get(rollout_id, ())]
        self._checked.add(rollout_id)
        attempts = [rollout for rollout in read if rollout is not None]
        if not attempts:
            return None
        choice = choose_attempt(attempts, self._winners.get(rollout_id))
        if choice.late:
            self._late[rollout_id] = len(choice.late)
        return choice

    def _read(self, rollout_id: str, key: str) -> Rollout | None:
        if key in self._unreadable:
            return None
        try:
            rollout = decode_record(self.store.get(key))
        except (RecordUnreadable, RecordNotFound) as error:
            self._unreadable[key] = str(error)
            return None
        session = key.rpartition("/")[2].removesuffix(".json")
        if (rollout.run, rollout.input_id, rollout.session) != (self.id, rollout_id, session):
            self._unreadable[key] = (
                f"holds the record {rollout.run}/{rollout.input_id}/{rollout.session}, not the one of its key"
            )
            return None
        return rollout

    def _check_all(self) -> None:
        for rollout_id in self._keys.keys() - self._checked:
            self._choice(rollout_id)


class Rollouts:
    """The rollouts of a run: iterate as often as you like, one record is decoded at a time."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __iter__(self) -> Iterator[Rollout]:
        for rollout_id in self._run.ids:
            choice = self._run._choice(rollout_id)
            if choice is not None:
                yield choice.chosen


def read_run(path: str | os.PathLike[str]) -> Run:
    """The run whose folder this is. Only records are needed; run.json and journal help where they are.

    Args:
        path: a run's folder: `run.json` lies in it, or it is the folder of a run in a directory store; the
            same as a `file://` URL; or a run in S3, `s3://bucket/prefix/RUN`.

    Raises:
        ConfigurationError: there is no such folder, or it is no run's.
        StoreUnavailable: the store cannot be listed now.
    """
    from agentcore_rl.batch.journal import Journal
    from agentcore_rl.stores.places import open_store

    if "://" in (url := os.fspath(path)) and not url.startswith("file://"):
        place, _, run_id = url.rstrip("/").rpartition("/")
        if "://" not in place:
            raise ConfigurationError(f"{url} names no run; it has the form s3://bucket/prefix/RUN.")
        run = Run(open_store(place), run_id)
        if run.ids:
            return run
        raise ConfigurationError(f"There are no records of a run {run_id!r} in {place}.")
    folder = Path(unquote(urlsplit(url).path) if "://" in url else url).absolute()
    if not folder.is_dir():
        raise ConfigurationError(f"There is no run folder {folder}.")
    about = _about(folder / "run.json")
    if not about and (runs := _runs_below(folder)):
        raise ConfigurationError(f"{folder} is no run's folder but holds {len(runs)}{_some(runs)}. Name one.")
    name = str(about.get("run") or folder.name)
    winners = Journal.read_winners(folder / "journal.sqlite")
    asked = _asked(about)
    if folder.name == name:
        run = Run(open_store(str(folder.parent)), name, winners=winners, asked=asked)
        if run.ids:
            return run
    records = about.get("records")
    location = records.get("location") if isinstance(records, dict) else None
    if isinstance(records, dict) and isinstance(location, str):
        prefix = str(records.get("prefix") or "")
        return Run(open_store(location), name, prefix=prefix, winners=winners, asked=asked)
    raise ConfigurationError(f"{folder} is no run's folder: it holds neither records nor a run.json.")


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _runs_below(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if (folder / entry.name / "run.json").is_file())


def _asked(about: Mapping[str, Any]) -> int | None:
    tasks = about.get("tasks")
    count, samples = tasks.get("count") if isinstance(tasks, dict) else None, about.get("samples")
    return count * samples if isinstance(count, int) and isinstance(samples, int) else None


def _some(ids: list[str]) -> str:
    return f": {', '.join(ids[:5])}{', ...' if len(ids) > 5 else ''}" if ids else ""
