"""Finds the run that somebody means."""

from __future__ import annotations

import os

from agentcore_rl.exceptions import ConfigurationError

TYPE_CHECKING = False  # a list of runs must be cheap: `pathlib` is imported where one is found
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["begun_at", "find_folder", "find_run", "runs_in"]

_LAST = "last"


def find_run(wanted: str, root: Path) -> str:
    """The place of a run, as `read_run` takes it: a folder, or where its records are in S3.

    Args:
        wanted: as in `find_folder`, or `s3://bucket/prefix/RUN`, which is given back as it is.
        root: directory of a record store.

    Raises:
        ConfigurationError: there is none, or several fit.
    """
    return wanted if "://" in wanted else str(find_folder(wanted, root))


def find_folder(wanted: str, root: Path) -> Path:
    """The folder of a run on this machine.

    Args:
        wanted: a path of a run's folder; or, below `root`, its id or the beginning of one; or `last`, the one
            that began last.
        root: directory of a record store.

    Raises:
        ConfigurationError: there is none, or several fit.
    """
    from pathlib import Path

    if "://" in wanted:
        raise ConfigurationError(
            f"{wanted} names records, which show, view, compare and export read. This command needs the "
            "run's journal, which lies in its folder on the machine that ran it: give that folder, or its id."
        )
    if wanted and Path(wanted).is_dir():
        return Path(wanted)
    runs = runs_in(root)
    if wanted == _LAST and runs:
        return root / runs[-1]
    fitting = [run for run in runs if run == wanted] or [
        run for run in runs if wanted and run.startswith(wanted)
    ]
    if len(fitting) == 1:
        return root / fitting[0]
    if fitting:
        names = ", ".join(fitting[-5:])
        raise ConfigurationError(f"{wanted!r} fits {len(fitting)} runs in {root}, such as {names}: name one.")
    if not runs:
        raise ConfigurationError(
            f"There is no run {wanted!r}: {root} holds none. Give a run's folder, or its store with --out."
        )
    names = ", ".join(reversed(runs[-5:]))
    raise ConfigurationError(f"There is no run {wanted!r} in {root}; the latest: {names}.")


def runs_in(root: str | os.PathLike[str]) -> list[str]:
    """The ids of the runs in a directory store, the one that began last at the end."""
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(names, key=lambda name: _began(os.path.join(root, name)))


def begun_at(folder: str) -> str | None:
    """When a run was begun, as its run.json says; None where that cannot be read."""
    import json

    try:
        with open(os.path.join(folder, "run.json"), "rb") as file:
            about = json.loads(file.read())
    except (OSError, ValueError):
        return None
    said = about.get("created_at") if isinstance(about, dict) else None
    return said if isinstance(said, str) else None


def _began(folder: str) -> tuple[float, str]:
    about = os.path.join(folder, "run.json")
    try:
        return (os.stat(about if os.path.isfile(about) else folder).st_mtime, folder)
    except OSError:
        return (0.0, folder)
