"""The message that the deltas of a stream spell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["Deltas"]


class Deltas:
    """The one message that a stream's deltas spell."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._plain: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._order: dict[str, None] = {}  # keys in the order in which they came

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take the next delta."""
        for key, value in delta.items():
            self._order.setdefault(key)
            if key == "tool_calls" and isinstance(value, list):
                for call in value:
                    if isinstance(call, dict):
                        self._add_call(call)
            elif isinstance(value, str) and key != "role":
                self._texts.setdefault(key, []).append(value)
            elif value is not None or key not in self._plain:
                self._plain[key] = _joined(self._plain.get(key), value)

    def _add_call(self, call: dict[str, Any]) -> None:
        index = call.get("index")
        slot = self._calls.setdefault(index if isinstance(index, int) else len(self._calls), {})
        for key, value in call.items():
            if key == "index":
                continue
            if key == "function" and isinstance(value, dict):
                function = slot.get("function")
                if not isinstance(function, dict):
                    function = slot["function"] = {}
                for name, part in value.items():
                    if isinstance(part, str) and isinstance(function.get(name), str):
                        function[name] += part
                    elif part is not None or name not in function:
                        function[name] = part
            elif value is not None or key not in slot:
                slot[key] = value

    def message(self) -> bytes | None:
        """The message as JSON; None when no delta came."""
        if not self._order:
            return None
        message: dict[str, Any] = {"role": self._plain.get("role") or "assistant"}
        for key in self._order:
            if key in self._texts:
                message[key] = "".join(self._texts[key])
            elif key == "tool_calls":
                if self._calls:
                    message[key] = [self._calls[index] for index in sorted(self._calls)]
            elif key != "role":
                message[key] = self._plain.get(key)
        return msgspec.json.encode(message)


def _joined(before: Any, more: Any) -> Any:
    """A delta's value behind an earlier one: lists and the texts in objects go on, others replace."""
    if isinstance(before, list) and isinstance(more, list):
        return before + more
    if isinstance(before, dict) and isinstance(more, dict):
        return before | {
            key: before[key] + value
            if isinstance(value, str) and isinstance(before.get(key), str)
            else _joined(before.get(key), value)
            for key, value in more.items()
            if value is not None or key not in before
        }
    return more
