"""Task files: one JSON object per line, the object is the payload.

{"id": "apples-1", "prompt": "Tom has 3 apples ...", "answer": "5"}
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from agentcore_rl.exceptions import ConfigurationError, TaskFileError

__all__ = ["Task", "check_id", "digest", "read_tasks", "task_from_payload"]

RESERVED = ("_rollout", "_training")
"""Payload keys that the client writes; a task cannot have them."""

_ID = re.compile(r"[A-Za-z0-9._=-]{1,128}")


@dataclass(frozen=True, slots=True)
class Task:
    """One problem.

    Attributes:
        id: stable id: the payload's own `id`, else a digest of the payload.
        payload: the JSON object that the agent's handler gets.
    """

    id: str
    payload: Mapping[str, Any]


def check_id(value: str) -> str | None:
    """Why `value` cannot be an id (of a run, a task or a rollout); None when it can."""
    if not _ID.fullmatch(value):
        return "an id has 1 to 128 characters of A-Z a-z 0-9 . _ = -"
    return "an id cannot hold '..'" if ".." in value else None


def task_from_payload(payload: Mapping[str, Any], *, id: str | None = None) -> Task:  # noqa: A002
    """The task that a payload spells.

    Args:
        payload: a JSON object.
        id: the task's id; None: the payload's `id` (a string or a whole number) where it has one,
            else 16 hex digits of the SHA-256 of the payload in canonical form (sorted keys, no spaces).

    Raises:
        ConfigurationError: the payload is not JSON, has a key that the client writes, or has a bad id.
    """
    if not isinstance(payload, Mapping):
        raise ConfigurationError(f"a task is a JSON object, not {_kind(payload)}")
    for name in RESERVED:
        if name in payload:
            raise ConfigurationError(f"a task cannot have the key {name!r}: the client writes it")
    canonical = _canonical(payload)
    own = payload.get("id") if id is None else id
    if own is None:
        return Task(hashlib.sha256(canonical).hexdigest()[:16], payload)
    if isinstance(own, bool) or not isinstance(own, str | int):
        raise ConfigurationError(f"'id' must be a string, not {_kind(own)}")
    reason = check_id(str(own)) or ("a task's id cannot end with '.'" if str(own).endswith(".") else None)
    if reason:
        raise ConfigurationError(f"the id {str(own)!r:.140} cannot be used: {reason}")
    return Task(str(own), payload)


def digest(tasks: Iterable[Task]) -> str:
    """SHA-256 (hex) of tasks: their ids and payloads, in order. Says whether two runs had the same tasks."""
    whole = hashlib.sha256()
    for task in tasks:
        whole.update(task.id.encode() + b"\0" + _canonical(task.payload) + b"\n")
    return whole.hexdigest()


def read_tasks(path: str | os.PathLike[str]) -> list[Task]:
    """The tasks of a file, in its order. Blank lines are skipped.

    Raises:
        TaskFileError: the file cannot be read, holds no task, or a line is malformed or repeats an
            id; the message has the file, the line's number and the reason.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise TaskFileError(f"There is no task file {file}.") from None
    except OSError as error:
        raise TaskFileError(f"The task file {file} cannot be read: {error.strerror or error}.") from error
    tasks: list[Task] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            task = task_from_payload(_object(line))
        except ConfigurationError as error:
            raise TaskFileError(f"{file}, line {number}: {error}.") from None
        if task.id in lines:
            raise TaskFileError(
                f"{file}, line {number}: the id {task.id!r} stands in line {lines[task.id]} already"
                + ("." if "id" in task.payload else " (the two lines are equal; give each an 'id').")
            )
        lines[task.id] = number
        tasks.append(task)
    if not tasks:
        raise TaskFileError(f"The task file {file} holds no task; it needs one JSON object per line.")
    return tasks


def _object(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"not UTF-8 (byte {error.start + 1} of the line)") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise ConfigurationError("not JSON that can be used: it is nested too deeply") from None
    except ValueError as error:  # a number with thousands of digits
        raise ConfigurationError(f"not JSON that can be used: {error}") from None


def _no_constant(name: str) -> NoReturn:
    raise ConfigurationError(f"not JSON: {name} is no JSON number")


def _canonical(payload: Mapping[str, Any]) -> bytes:
    try:
        plain = dict(payload)
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigurationError("a text holds half of a surrogate pair, which is no character") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the task is not JSON: {error}") from None


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "true or false", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
