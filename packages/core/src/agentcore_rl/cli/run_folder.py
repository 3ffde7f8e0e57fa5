"""Finds the run that somebody means."""

from __future__ import annotations

from pathlib import Path

from agentcore_rl.exceptions import ConfigurationError

__all__ = ["find_run"]

_LAST = "last"


def find_run(wanted: str, root: Path) -> Path:
    """The folder of a run.

    Args:
        wanted: a path of a run's folder; or, below `root`, its id or the beginning of one; or `last`, the one
            that began last.
        root: directory of a record store.

    Raises:
        ConfigurationError: there is none, or several fit.
    """
    if wanted and Path(wanted).is_dir():
        return Path(wanted)
    runs = _runs(root)
    if wanted == _LAST and runs:
        return runs[-1]
    fitting = [folder for folder in runs if folder.name == wanted] or [
        folder for folder in runs if wanted and folder.name.startswith(wanted)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(folder.name for folder in fitting[-5:])
        raise ConfigurationError(f"{wanted!r} fits {len(fitting)} runs in {root}, such as {names}: name one.")
    if not runs:
        raise ConfigurationError(
            f"There is no run {wanted!r}: {root} holds none. Give a run's folder, or its store with --out."
        )
    names = ", ".join(folder.name for folder in reversed(runs[-5:]))
    raise ConfigurationError(f"There is no run {wanted!r} in {root}; the latest: {names}.")


def _runs(root: Path) -> list[Path]:
    """The runs in a directory store, the one that began last at the end."""
    try:
        folders = [folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    except OSError:
        return []
    return sorted(folders, key=_began)


def _began(folder: Path) -> tuple[float, str]:
    about = folder / "run.json"
    try:
        return ((about if about.is_file() else folder).stat().st_mtime, folder.name)
    except OSError:
        return (0.0, folder.name)
