"""Reads regular expressions as ECMA-262 writes them (with its `u` flag), as far as automata can do them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["InvalidPattern", "Node", "Test", "UnsupportedPattern", "parse"]

_MAX_DEPTH = 40
_MAX_COUNT = 20_000

Test: TypeAlias = Callable[[str], bool]
"""Whether a character is one of those meant."""


class InvalidPattern(Exception):
    """This is no regular expression."""


class UnsupportedPattern(Exception):
    """An automaton cannot do it, or it is too large."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression.

    Attributes:
        kind: "char", "assert", "sequence", "choice" or "repeat".
        test: of a char.
        name: of an assert: ^, $, b or B.
        parts: of the others.
        least, most: of a repeat; `most` None is without end.
    """

    kind: str
    test: Test | None = None
    name: str = ""
    parts: tuple[Node, ...] = ()
    least: int = 0
    most: int | None = None


def parse(text: str) -> Node:
    """The expression as a tree.

    Raises:
        InvalidPattern: it is none.
        UnsupportedPattern: it has lookaround, back references, flags, escapes that are not ECMA's, or is
            nested too deeply.
    """
    reader = _Reader(text)
    node = reader.choice(0)
    if reader.at < len(text):
        raise InvalidPattern("has a parenthesis too many")
    return node


def _any(char: str) -> bool:
    return char not in "\n\r\u2028\u2029"


def _digit(char: str) -> bool:
    return "0" <= char <= "9"


def _word(char: str) -> bool:
    return "a" <= char <= "z" or "A" <= char <= "Z" or "0" <= char <= "9" or char == "_"


def _space(char: str) -> bool:
    return char in "\t\n\v\f\r \u00a0\ufeff\u2028\u2029" or unicodedata.category(char) == "Zs"


_CLASSES: dict[str, Test] = {"d": _digit, "w": _word, "s": _space}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_QUANTIFIERS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def _not(test: Test) -> Test:
    return lambda char: not test(char)


def _is(wanted: str) -> Test:
    return lambda char: char == wanted


def _between(low: str, high: str) -> Test:
    return lambda char: low <= char <= high


def _one_of(tests: list[Test]) -> Test:
    return lambda char: any(test(char) for test in tests)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def _next(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def _take(self, wanted: str) -> bool:
        if self.text.startswith(wanted, self.at):
            self.at += len(wanted)
            return True
        return False

    def choice(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise UnsupportedPattern(f"is nested deeper than {_MAX_DEPTH} groups")
        branches = [self._sequence(depth)]
        while self._take("|"):
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else Node("choice", parts=tuple(branches))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._quantified(self._atom(depth)))
        return Node("sequence", parts=tuple(parts))

    def _quantified(self, atom: Node) -> Node:
        bounds = _QUANTIFIERS.get(self._next())
        if bounds is not None:
            self.at += 1
        elif self._next() == "{":
            bounds = self._counted()
        if bounds is None:
            return atom
        self._take("?")  # whether it prefers few or many changes nothing to whether it matches
        if atom.kind == "assert" or self._next() in ("*", "+", "?"):
            raise InvalidPattern("has a quantifier with nothing to repeat")
        return Node("repeat", parts=(atom,), least=bounds[0], most=bounds[1])

    def _counted(self) -> tuple[int, int | None] | None:
        end = self.text.find("}", self.at)
        low, comma, high = self.text[self.at + 1 : end].partition(",")
        if end < 0 or not _digits(low) or not (high == "" or _digits(high)):
            return None  # a brace that is only a brace
        least = _count(low)
        most = least if not comma else _count(high) if high else None
        if most is not None and most < least:
            raise InvalidPattern("counts down in a quantifier")
        self.at = end + 1
        return least, most

    def _atom(self, depth: int) -> Node:
        char = self._next()
        self.at += 1
        if char == "(":
            return self._group(depth)
        if char == "[":
            return Node("char", test=self._set())
        if char == "\\":
            return self._escaped()
        if char == ".":
            return Node("char", test=_any)
        if char in "^$":
            return Node("assert", name=char)
        if char in "*+?":
            raise InvalidPattern("has a quantifier with nothing to repeat")
        return Node("char", test=_is(char))

    def _group(self, depth: int) -> Node:
        if self._take("?"):
            named = self._take("P<") or (
                self.text[self.at : self.at + 2] not in ("<=", "<!") and self._take("<")
            )
            if named:
                end = self.text.find(">", self.at)
                if end <= self.at:
                    raise InvalidPattern("has a group whose name does not end")
                self.at = end + 1
            elif not self._take(":"):
                raise UnsupportedPattern("has lookaround or flags")
        inside = self.choice(depth + 1)
        if not self._take(")"):
            raise InvalidPattern("has a group that does not end")
        return inside

    def _escaped(self) -> Node:
        char = self._next()
        if char in ("b", "B"):
            self.at += 1
            return Node("assert", name=char)
        if char == "k" or (char.isdigit() and char != "0"):
            raise UnsupportedPattern("has a back reference")
        found = self._escape()
        return Node("char", test=_is(found) if isinstance(found, str) else found)

    def _escape(self) -> str | Test:
        """The character or the class that stands behind a backslash."""
        char = self._next()
        self.at += 1
        if not char:
            raise InvalidPattern("ends with a backslash")
        if char.lower() in _CLASSES:
            test = _CLASSES[char.lower()]
            return test if char.islower() else _not(test)
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in "xu":
            return self._coded(char)
        if char == "c" and self._next().isascii() and self._next().isalpha():
            self.at += 1
            return chr(ord(self.text[self.at - 1]) % 32)
        if char in "pP":
            test = self._category()
            return test if char == "p" else _not(test)
        if char.isalnum():
            raise UnsupportedPattern(f"has the escape \\{char}")
        return char

    def _coded(self, kind: str) -> str:
        if kind == "u" and self._take("{"):
            end = self.text.find("}", self.at)
            code, self.at = self.text[self.at : max(end, self.at)], end + 1
        else:
            size = 2 if kind == "x" else 4
            code = self.text[self.at : self.at + size]
            self.at += size
            if len(code) < size:
                code = ""
        try:
            return chr(int(code, 16))
        except (ValueError, OverflowError):
            raise InvalidPattern(f"has a \\{kind} without its digits") from None

    def _category(self) -> Test:
        end = self.text.find("}", self.at)
        if not self._take("{") or end < 0:
            raise InvalidPattern("has a \\p without its braces")
        name, self.at = self.text[self.at : end], end + 1
        if name == "Any":
            return lambda char: True
        if not (1 <= len(name) <= 2 and name[0] in "LMNPSZC"):
            raise UnsupportedPattern(f"has the property {name[:40]}")
        return lambda char: unicodedata.category(char).startswith(name)

    def _set(self) -> Test:
        negated = self._take("^")
        tests: list[Test] = []
        while not self._take("]"):
            low = self._member()
            if self._next() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self._member()
                if not isinstance(low, str) or not isinstance(high, str):
                    raise InvalidPattern("has a range from or to a class")
                if high < low:
                    raise InvalidPattern("has a range that counts down")
                tests.append(_between(low, high))
            else:
                tests.append(_is(low) if isinstance(low, str) else low)
        inside = _one_of(tests)
        return _not(inside) if negated else inside

    def _member(self) -> str | Test:
        char = self._next()
        if not char:
            raise InvalidPattern("has a set that does not end")
        self.at += 1
        if char != "\\":
            return char
        return "\b" if self._take("b") else self._escape()


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _count(text: str) -> int:
    if len(text) > 6 or int(text) > _MAX_COUNT:
        raise UnsupportedPattern("repeats too often")
    return int(text)
