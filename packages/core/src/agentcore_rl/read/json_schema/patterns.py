"""Regular expressions of JSON schemas, matched in linear time whatever they say.

`pattern` is the only keyword of a schema that can take exponential time, and a tool's schema may come from
anywhere. So expressions are read as ECMA-262 writes them, made into an automaton and run over the text
once (Thompson, "Regular Expression Search Algorithm", 1968; states are cached as in Cox, "Regular
Expression Matching Can Be Simple And Fast", 2007). What needs backtracking (lookaround, back references)
is refused as `UnsupportedPattern`: whether a text matches is then not judged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

from agentcore_rl.read.json_schema.pattern_syntax import Node, Test, UnsupportedPattern, parse

__all__ = ["Pattern"]

_MAX_STATES = 20_000
_MAX_CACHED, _MAX_KERNELS = 20_000, 2_000
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_END = ""  # stands for the next character behind the last

_State: TypeAlias = tuple[str, Test | str | None, tuple[int, ...]]


class Pattern:
    """One expression, ready to be searched for; threads may share it.

    Args:
        text: the expression.

    Attributes:
        text: the expression.

    Raises:
        InvalidPattern: it is no regular expression.
        UnsupportedPattern: an automaton cannot do it, or it is too large.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._states: list[_State] = []
        self._built = 0
        self._final = self._add("match", None, ())
        self._start = self._build(parse(text), self._final)
        self._kernels: list[frozenset[int]] = [frozenset([self._start])]
        self._numbers = {self._kernels[0]: 0}
        self._next: dict[tuple[int, bool, bool, str], int] = {}
        self._lock = threading.Lock()

    def search(self, text: str, spend: Callable[[int], None]) -> bool:
        """Whether the expression matches somewhere in the text.

        Args:
            text: what is searched.
            spend: told of the work that is done; what it raises ends the search.
        """
        with self._lock:
            return self._search(text, spend)

    def _search(self, text: str, spend: Callable[[int], None]) -> bool:
        kernel, start, word = 0, True, False
        spend(1 + len(text) // 16)
        for char in text:
            following = self._next.get((kernel, start, word, char))
            if following is None:
                following = self._step(kernel, start, word, char, spend)
            if following < 0:
                return True
            kernel, start, word = following, False, char in _WORD
        return self._step(kernel, start, word, _END, spend) < 0

    def _step(self, kernel: int, start: bool, word: bool, char: str, spend: Callable[[int], None]) -> int:
        """Number of the kernel behind this character; -1 when the expression has matched before it."""
        before = self._kernels[kernel]
        reached, work = self._closure(before, start, word, char)
        spend(work)
        if self._final in reached:
            following = -1
        elif char == _END:
            return 0
        else:
            behind = {self._start}  # a search may begin anywhere
            for number in reached:
                kind, test, onward = self._states[number]
                if kind == "char" and callable(test) and test(char):
                    behind.add(onward[0])
            following = self._number(frozenset(behind))
        if char != _END:
            if len(self._next) >= _MAX_CACHED:
                self._next.clear()
            self._next[kernel, start, word, char] = following
        return following

    def _number(self, kernel: frozenset[int]) -> int:
        number = self._numbers.get(kernel)
        if number is None:
            if len(self._kernels) >= _MAX_KERNELS:  # they hold many states each: begin anew
                self._next.clear()
                self._numbers = {self._kernels[0]: 0}
                del self._kernels[1:]
            number = self._numbers[kernel] = len(self._kernels)
            self._kernels.append(kernel)
        return number

    def _closure(self, kernel: frozenset[int], start: bool, word: bool, char: str) -> tuple[set[int], int]:
        """The states that are reached without a character, and how much work that was."""
        boundary = word != (char != _END and char in _WORD)
        holds = {"^": start, "$": char == _END, "b": boundary, "B": not boundary}
        reached = set(kernel)
        todo = list(kernel)
        while todo:
            kind, test, onward = self._states[todo.pop()]
            if kind == "char" or (kind == "assert" and not holds[str(test)]):
                continue
            for number in onward:
                if number not in reached:
                    reached.add(number)
                    todo.append(number)
        return reached, 1 + len(reached)

    def _add(self, kind: str, test: Test | str | None, onward: tuple[int, ...]) -> int:
        if len(self._states) >= _MAX_STATES:
            raise UnsupportedPattern("is too large")
        self._states.append((kind, test, onward))
        return len(self._states) - 1

    def _build(self, node: Node, onward: int) -> int:
        """First state of an automaton for this node that goes on to `onward`."""
        self._built += 1  # an empty group has no states, and may still be repeated without end
        if self._built > 2 * _MAX_STATES:
            raise UnsupportedPattern("is too large")
        kind = node.kind
        if kind == "char":
            return self._add("char", node.test, (onward,))
        if kind == "assert":
            return self._add("assert", node.name, (onward,))
        if kind == "sequence":
            for part in reversed(node.parts):
                onward = self._build(part, onward)
            return onward
        if kind == "choice":
            return self._add("split", None, tuple(self._build(part, onward) for part in node.parts))
        return self._repeat(node, onward)

    def _repeat(self, node: Node, onward: int) -> int:
        [part] = node.parts
        end = onward
        if node.most is None:
            loop = self._add("split", None, ())
            self._states[loop] = ("split", None, (self._build(part, loop), end))
            onward = loop
        else:
            for _ in range(
                node.most - node.least
            ):  # each leaves for the end at once, so none is walked through
                onward = self._add("split", None, (self._build(part, onward), end))
        for _ in range(node.least):
            onward = self._build(part, onward)
        return onward
