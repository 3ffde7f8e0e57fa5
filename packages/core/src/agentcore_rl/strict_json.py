"""What may be stored as JSON: one walk that finds what cannot, and keeps what can.

Strict means that a value comes back as it was: no NaN (msgspec would write null), no bytes (it
would write base64), no keys that only look like strings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from agentcore_rl.endpoint import Secret

__all__ = ["MAX_DEPTH", "Walk", "first_problem", "nesting"]

MAX_DEPTH = 200
"""Levels of nesting that every reader of ours can follow, whatever its own stack already holds."""

_MAX_INT_BITS = 13_000  # about 3,900 digits: Python refuses to read integers above 4,300
_SHOWN = 500
_LOOKED_AT = 100_000
_PATH_SHOWN = 12


class Walk:
    """One pass over a value.

    Args:
        where: what paths begin with.
        keep: see below.
        hide: takes secrets out of texts before they are cut short, which could leave half of one.

    Attributes:
        keep: types whose instances are left as they are, wherever they stand.
        problems: what cannot be stored, each as "path reason"; empty when all of it can.
        kept: paths (keys and indexes from the root) of what was left as it is.
    """

    def __init__(
        self, where: str = "", keep: tuple[type, ...] = (), hide: Callable[[str], str] = str
    ) -> None:
        self.keep = keep
        self._hide = hide
        self.problems: list[str] = []
        self.kept: list[list[str | int]] = []
        self._where = where
        self._path: list[str | int] = []
        self._open: set[int] = set()

    def plain(self, value: Any) -> Any:
        """A copy made of None, bool, int, float, str, list and dict alone.

        What JSON cannot hold is replaced by `{"$unserialisable": "its repr"}` and noted.
        """
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return self._integer(value)
        if isinstance(value, float):
            return self._float(value)
        if isinstance(value, self.keep):
            self.kept.append(list(self._path))
            return value
        if isinstance(value, dict | list | tuple):
            return self._container(value)
        kind = type(value)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        return self._bad(value, f"is of type {name}, which JSON cannot hold")

    def _text(self, value: str) -> Any:
        if isinstance(value, Secret):
            return str(value)
        if type(value) is not str:
            value = str.__str__(value)
        if value.isascii() or _encodable(value):
            return value
        return self._bad(value, "holds half of a surrogate pair, which UTF-8 cannot hold")

    def _integer(self, value: int) -> Any:
        if value.bit_length() > _MAX_INT_BITS:
            return self._bad(
                None, "is an integer of more than 3,900 digits", shown="an integer too long to show"
            )
        return int(value)

    def _float(self, value: float) -> Any:
        if math.isfinite(value):
            return float(value)
        return self._bad(value, "is NaN" if math.isnan(value) else "is infinite")

    def _container(self, value: Any) -> Any:
        if id(value) in self._open:
            return self._bad(None, "refers back to what contains it", shown="circular reference")
        if len(self._path) >= MAX_DEPTH:
            return self._bad(None, f"is nested deeper than {MAX_DEPTH} levels", shown="nested too deep")
        self._open.add(id(value))
        try:
            if isinstance(value, dict):
                return self._mapping(value)
            items = []
            for index, item in enumerate(value):
                self._path.append(index)
                items.append(self.plain(item))
                self._path.pop()
            return items
        finally:
            self._open.discard(id(value))

    def _mapping(self, value: dict[Any, Any]) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, item in value.items():
            name = self._key(key)
            while name in plain:
                name += "'"
            self._path.append(name)
            plain[name] = self.plain(item)
            self._path.pop()
        return plain

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            text = str(key) if isinstance(key, Secret) else str.__str__(key)
            if text.isascii() or _encodable(text):
                return text
            self._note("has a key with half of a surrogate pair, which UTF-8 cannot hold")
        else:
            self._note(f"has the key {self._shown(key)[:60]}, which is not a string")
        return self._shown(key)

    def _note(self, reason: str) -> None:
        parts = [f"[{part}]" if isinstance(part, int) else f'["{part}"]' for part in self._path]
        path = "".join(parts if len(parts) <= _PATH_SHOWN else [*parts[: _PATH_SHOWN - 1], "...", parts[-1]])
        self.problems.append(f"{self._where}{path} {reason}")

    def _bad(self, value: Any, reason: str, *, shown: str | None = None) -> Any:
        self._note(reason)
        if shown is None:
            shown = self._shown(value)
        # At the last level there is no room for an object.
        return {"$unserialisable": shown} if len(self._path) < MAX_DEPTH else f"$unserialisable: {shown}"

    def _shown(self, value: Any) -> str:
        """The repr of anything, short, and itself storable."""
        if isinstance(value, bytes | bytearray | str):
            value = value[:_LOOKED_AT]
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001 - the repr of a user's class may do anything
            text = f"<{type(value).__qualname__}>"
        return self._hide(text)[:_SHOWN].encode(errors="backslashreplace").decode()


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_problem(
    value: Any, where: str, keep: tuple[type, ...] = (), hide: Callable[[str], str] = str
) -> str | None:
    """The first reason why `value` cannot be stored, with its path; None when it can."""
    walk = Walk(where, keep, hide)
    walk.plain(value)
    return walk.problems[0] if walk.problems else None


def nesting(raw: bytes) -> int:
    """Levels of nesting of a valid JSON text, or its number of opening brackets where that is small."""
    brackets = raw.count(b"[") + raw.count(b"{")
    return brackets if brackets <= MAX_DEPTH else _deepest(raw)


def _deepest(raw: bytes) -> int:
    import re

    structure: Sequence[bytes] = re.findall(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', raw, re.DOTALL)
    depth = deepest = 0
    for token in structure:
        if token in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif token in (b"]", b"}"):
            depth -= 1
    return deepest
