"""A run's folder: run.json says what was asked, the journal what came of it."""

from __future__ import annotations

import json
import os
import platform
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agentcore_rl.batch.journal import Journal
from agentcore_rl.batch.terms import Terms
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.tasks import Task, digest

__all__ = ["describe", "new_run_id", "open_folder", "read_about"]


def new_run_id() -> str:
    """A new run's id: the time (UTC) and six random hex digits, such as 20250131-142530-9f3a1c."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def describe(
    terms: Terms,
    tasks: Sequence[Task],
    tasks_file: str | os.PathLike[str] | None,
    *,
    location: str,
    samples: int,
    concurrency: int,
    launcher: str,
    further: Mapping[str, Any],
) -> dict[str, Any]:
    """What run.json says: what was asked, of which software, and where the records are. No keys.

    Args:
        terms: what all rollouts have in common.
        tasks: what was asked for first.
        tasks_file: where they were read.
        location: of the record store.
        samples: rollouts per task.
        concurrency: rollouts in flight at once.
        launcher: its class's name.
        further: more top-level entries.
    """
    endpoint = terms.endpoint
    return {
        "schema": "agentcore-rl/run/1",
        "run": terms.run,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "records": {
            "location": location,
            "bucket": terms.destination.bucket,
            "prefix": terms.folder.removesuffix(f"{terms.run}/"),
        },
        "tasks": {
            "file": None if tasks_file is None else str(Path(tasks_file).absolute()),
            "count": len(tasks),
            "sha256": digest(tasks),
        },
        "samples": samples,
        "concurrency": concurrency,
        "limits": {
            "deadline_s": terms.limits.deadline_s,
            "max_turns": terms.limits.max_turns,
            "max_tokens": terms.limits.max_tokens,
        },
        "endpoint": None
        if endpoint is None
        else {
            "base_url": endpoint.base_url,
            "model": endpoint.model,
            "sampling": dict(endpoint.sampling),
        },
        "policy_version": terms.policy_version,
        "stream": terms.stream,
        "launcher": launcher,
        "software": {"python": platform.python_version(), "agentcore-rl": _release()},
        **further,
    }


def open_folder(folder: Path, run: str, about: Callable[[], Mapping[str, Any]] | None) -> Journal:
    """The journal of a run's folder. Blocks.

    Args:
        folder: the run's folder.
        run: the run's id.
        about: makes what run.json is to say; None: it is there already, and must be this run's.

    Raises:
        ConfigurationError: the folder cannot be used; the message says why.
    """
    path = folder / "run.json"
    if about is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            content = json.dumps(about(), indent=2, ensure_ascii=False) + "\n"
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
        except FileExistsError:
            raise ConfigurationError(
                f"{folder} holds a run already; resume it, or choose another run id or folder."
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"The run's folder {folder} cannot be written: {error.strerror or error}."
            ) from error
    else:
        there = read_about(folder)
        if there.get("run") != run:
            raise ConfigurationError(f"{folder} holds the run {there.get('run')!r}, not {run!r}.")
    return Journal(folder / "journal.sqlite")


def read_about(folder: Path) -> dict[str, Any]:
    """What run.json of a run's folder says. Blocks.

    Raises:
        ConfigurationError: there is none, or it is damaged.
    """
    path = folder / "run.json"
    try:
        about = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{folder} is no run's folder: its run.json cannot be read ({error.strerror or error})."
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is damaged ({error}); start a new run.") from None
    if not isinstance(about, dict):
        raise ConfigurationError(f"{path} is damaged: it holds no JSON object; start a new run.")
    return about


def _release() -> str | None:
    try:
        return version("agentcore-rl")
    except PackageNotFoundError:
        return None
