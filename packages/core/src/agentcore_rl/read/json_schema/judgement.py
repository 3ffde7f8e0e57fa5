"""One judgement of a value by a schema: where it stands, what it may still do, what it found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from agentcore_rl.read.call_errors import Finding, ToolCallError
from agentcore_rl.read.json_schema.document import SchemaNode

__all__ = ["FINE", "Check", "Spot", "judge", "shown", "verdict"]

_MAX_DEPTH = 100
_STEPS, _STEPS_PER_CHARACTER = 20_000, 8
_MAX_FINDINGS = 50
_SHOWN = 60

FINE: tuple[Finding, ...] = ()
"""Nothing was found."""


def judge(schema: SchemaNode, value: Any, checks: Mapping[str, Check], *, size: int) -> list[Finding]:
    """What is wrong with a value, or cannot be judged; empty when it is valid.

    Args:
        schema: what it should satisfy.
        value: the value, decoded from JSON.
        checks: keyword -> what finds what is wrong by it.
        size: length of the value's text; the work is held to a multiple of it.
    """
    judgement = _Judgement(checks, _STEPS + _STEPS_PER_CHARACTER * size)
    try:
        return judgement.findings(schema, value, _Path())[:_MAX_FINDINGS]
    except (_Undecided, RecursionError) as gave_up:
        why = str(gave_up) if isinstance(gave_up, _Undecided) else "it is nested too deeply"
        return [Finding("$", None, f"The arguments cannot be judged by the tool's schema: {why}.")]


def verdict(findings: Sequence[Finding]) -> bool | None:
    """Valid or not; None when it cannot be told."""
    if not findings:
        return True
    return False if any(finding.error is not None for finding in findings) else None


def shown(value: Any) -> str:
    """A value, short."""
    if isinstance(value, str):
        text = json.dumps(value[:_SHOWN], ensure_ascii=False)
        return text if len(value) <= _SHOWN else f"{text[:-1]}..."
    if isinstance(value, dict | list):
        return "{...}" if isinstance(value, dict) else "[...]"
    return json.dumps(value)[:_SHOWN]


class _Undecided(Exception):
    """The judgement was given up; the text says why."""


class _Path(NamedTuple):
    """Where a value stands in the arguments; written out only where something is found."""

    above: _Path | None = None
    key: str | int = ""

    def __str__(self) -> str:
        parts: list[str] = []
        at: _Path | None = self
        while at is not None and at.above is not None:
            parts.append(_step(at.key))
            at = at.above
        return "".join(("$", *reversed(parts)))


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key[:_SHOWN], ensure_ascii=False)}]"


class _Judgement:
    def __init__(self, checks: Mapping[str, Check], steps: int) -> None:
        self._checks = checks
        self._left = steps
        self._depth = 0

    def spend(self, steps: int) -> None:
        """Do so much work, or give up."""
        self._left -= steps
        if self._left < 0:
            raise _Undecided("it would take too many steps")

    def findings(self, node: SchemaNode, value: Any, path: _Path) -> list[Finding]:
        """The findings of one schema for one value."""
        spot = Spot(self, node, path)
        if node.never:
            argument = isinstance(path.key, str) and path.above is not None
            error = ToolCallError.UNEXPECTED_ARGUMENT if argument else ToolCallError.WRONG_VALUE
            return spot.said(error, "is not allowed")
        keywords = node.keywords
        self.spend(1 + len(keywords))
        if value is None and "nullable" in keywords:
            return []
        if self._depth >= _MAX_DEPTH:
            raise _Undecided(f"more than {_MAX_DEPTH} schemas stand in each other")
        self._depth += 1
        found: list[Finding] = []
        for name, argument in keywords.items():
            check = self._checks.get(name)
            if check is not None:
                found += check(spot, argument, value)
        self._depth -= 1
        return found


class Spot(NamedTuple):
    """A schema and the place of the value that it is applied to.

    Attributes:
        judgement: the judgement that it is part of.
        node: the schema.
        path: where the value stands.
    """

    judgement: _Judgement
    node: SchemaNode
    path: _Path

    @property
    def is_root(self) -> bool:
        """The value is the whole of the arguments."""
        return self.path.above is None

    def spend(self, steps: int) -> None:
        """Account for work; raises where it is too much."""
        self.judgement.spend(steps)

    def below(self, node: SchemaNode, value: Any, key: str | int | None = None) -> list[Finding]:
        """The findings of another schema for the same value, or for its part under `key`."""
        path = self.path if key is None else _Path(self.path, key)
        return self.judgement.findings(node, value, path)

    def holds(self, node: SchemaNode, value: Any) -> bool | None:
        """Whether another schema holds for a value; None when it cannot be told."""
        return verdict(self.judgement.findings(node, value, self.path))

    def applied(self, node: SchemaNode) -> Spot:
        """The same place, under another schema."""
        return Spot(self.judgement, node, self.path)

    def said(self, error: ToolCallError | None, text: str, key: str | int | None = None) -> list[Finding]:
        """A finding about the value, or about its part under `key`."""
        where = str(self.path if key is None else _Path(self.path, key))
        return [Finding(where, error, f"{where} {text}.")]


Check: TypeAlias = Callable[[Spot, Any, Any], Sequence[Finding]]
"""Spot, the keyword's value and the value that is judged -> what is wrong."""
