"""Takes secret values out of texts and JSON values, in every spelling that JSON gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from agentcore_rl.settings import SHORTEST_SECRET

__all__ = ["REDACTED", "Redactor"]

REDACTED = "***"
"""Stands where a secret stood."""

# Words of the chat format. One of them says nothing of a secret that happens to equal it, and
# without them a message could not be read.
_FORMAT = frozenset(
    "additionalProperties annotations arguments assistant audio content custom description developer enum "
    "file function function_call id image_url index input_audio items logprobs name object parameters "
    "properties reasoning reasoning_content refusal required role strict string system text thinking title "
    "tool tool_call_id tool_calls type user".split()
)
_ESCAPES = {'"': '"', "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


class Redactor:
    r"""Replaces secret values by `***`.

    Found are the value itself and its JSON spellings: escaped once (a string in JSON) or more often
    (JSON in a string in JSON, as tool arguments are), by short escapes or by \uXXXX.

    Args:
        secrets: the values; those shorter than 8 characters are left out, they would hide ordinary text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        values = {str.__str__(secret) for secret in secrets if len(secret) >= SHORTEST_SECRET}
        self._values = sorted(values, key=lambda value: (-len(value), value))

    def __bool__(self) -> bool:
        return bool(self._values)

    def finds(self, text: str) -> bool:
        """Whether a secret stands in the text, in any spelling."""
        return any(_stands(value, text) for value in self._values)

    def text(self, text: str) -> str:
        """The text with every secret replaced."""
        found = tuple(value for value in self._values if _stands(value, text))
        return _pattern(found).sub(REDACTED, text) if found else text

    def value(self, value: Any, *, message: bool = False) -> Any:
        """A JSON value with every secret replaced in strings, keys and integers; itself when there is none.

        Args:
            value: made of None, bool, int, float, str, list, tuple and dict; anything else is left as it is.
            message: leave words of the chat format (`tool_calls`, `assistant`) as they are.
        """
        if isinstance(value, str):
            return value if message and value in _FORMAT else self.text(str.__str__(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return REDACTED if str(value) in self._values else value
        if isinstance(value, list | tuple):
            items = [self.value(item, message=message) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        if isinstance(value, dict):
            return self._mapping(value, message)
        return value

    def _mapping(self, value: dict[str, Any], message: bool) -> dict[str, Any]:
        new: dict[str, Any] = {}
        changed = False
        for key, item in value.items():
            name = key if message and key in _FORMAT else self.text(key)
            changed = changed or name != key
            while name in new:
                name += "*"
            new[name] = self.value(item, message=message)
            changed = changed or new[name] is not item
        return new if changed else value

    def raw(self, raw: msgspec.Raw) -> msgspec.Raw:
        """A message (or a list of tools) as raw JSON; itself when there is no secret in it."""
        if not self.finds(bytes(raw).decode(errors="replace")):
            return raw
        value = msgspec.json.decode(raw)
        new = self.value(value, message=True)
        return raw if new is value else msgspec.Raw(msgspec.json.encode(new))


def _stands(secret: str, text: str) -> bool:
    """Whether the secret stands in the text; looks for its escaped spellings only where there are escapes."""
    if secret in text:
        return True
    return any(escape in text for escape in _escapes(secret)) and _pattern((secret,)).search(text) is not None


@lru_cache(maxsize=32)
def _escapes(secret: str) -> tuple[str, ...]:
    """One of these stands in every spelling but the plain one."""
    return ("\\u", *("\\" + _ESCAPES.get(char, char) for char in {*secret} & {*_ESCAPES, "\\"}))


# Kept: a pattern takes milliseconds to make, and a hundred times the memory of its secrets.
@lru_cache(maxsize=32)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_spellings, secrets)))


def _spellings(secret: str) -> str:
    """A regular expression for every JSON spelling of a secret."""
    return "".join(map(_spelling, secret))


def _spelling(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    code = "".join(rf"\\+u(?i:{units[at : at + 2].hex()})" for at in range(0, len(units), 2))
    if char == "\\":
        return rf"(?:\\+|{code})"
    if char in '"/':
        return rf"(?:\\*{re.escape(char)}|{code})"
    if char in _ESCAPES:
        return rf"(?:{re.escape(char)}|\\+{_ESCAPES[char]}|{code})"
    return f"(?:{re.escape(char)}|{code})"
