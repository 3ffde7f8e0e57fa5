"""The keywords of JSON Schema that put schemas together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentcore_rl.read.call_errors import Finding, ToolCallError
from agentcore_rl.read.json_schema.document import SchemaNode
from agentcore_rl.read.json_schema.judgement import FINE, Spot, verdict

__all__ = ["all_of", "any_of", "if_", "not_", "one_of", "reference", "undecidable"]

TYPE, VALUE = ToolCallError.WRONG_TYPE, ToolCallError.WRONG_VALUE
_UNDECIDED = "cannot be judged: one of its alternatives cannot be"


def all_of(spot: Spot, rules: Sequence[SchemaNode], value: Any) -> Sequence[Finding]:
    """Every one must hold."""
    return [finding for rule in rules for finding in spot.below(rule, value)]


def any_of(spot: Spot, rules: Sequence[SchemaNode], value: Any) -> Sequence[Finding]:
    """One must hold."""
    tried = []
    for rule in rules:
        findings = spot.below(rule, value)
        if not findings:
            return FINE
        tried.append(findings)
    if any(verdict(findings) is None for findings in tried):
        return spot.said(None, _UNDECIDED)
    return _nearest(spot, tried)


def one_of(spot: Spot, rules: Sequence[SchemaNode], value: Any) -> Sequence[Finding]:
    """Exactly one must hold."""
    tried = [spot.below(rule, value) for rule in rules]
    holds = [verdict(findings) for findings in tried]
    if holds.count(True) > 1:
        return spot.said(VALUE, f"fits {holds.count(True)} alternatives where exactly one is allowed")
    if None in holds:
        return spot.said(None, _UNDECIDED)
    return FINE if True in holds else _nearest(spot, tried)


def _nearest(spot: Spot, tried: Sequence[Sequence[Finding]]) -> Sequence[Finding]:
    """What to say where no alternative holds: the findings of the one that was probably meant.

    That is one which allows the value's type; of several, that with the fewest findings. Where none allows
    the type, all types are named.
    """
    where = str(spot.path)

    def of_type(findings: Sequence[Finding]) -> list[Finding]:
        return [one for one in findings if one.error is TYPE and one.path == where]

    meant = [findings for findings in tried if not of_type(findings)]
    if meant:
        return min(meant, key=len)
    sentences = [one.sentence for findings in tried for one in of_type(findings)]
    wanted = dict.fromkeys(one.partition(" must be ")[2].partition(", not ")[0] for one in sentences)
    told = sentences[0].partition(", not ")[2].rstrip(".")
    return spot.said(TYPE, f"must be {' or '.join(wanted)}, not {told}")


def not_(spot: Spot, rule: SchemaNode, value: Any) -> Sequence[Finding]:
    """It must not hold."""
    holds = spot.holds(rule, value)
    if holds is None:
        return spot.said(None, "cannot be judged: what it must not be cannot be")
    return spot.said(VALUE, "is what it must not be") if holds else FINE


def if_(spot: Spot, rule: SchemaNode, value: Any) -> Sequence[Finding]:
    """Where it holds, `then` must; where it does not, `else`."""
    holds = spot.holds(rule, value)
    yes, no = spot.node.keywords.get("then"), spot.node.keywords.get("else")
    if holds is None:
        return spot.said(None, "cannot be judged: its condition cannot be") if yes or no else FINE
    onward = yes if holds else no
    return FINE if onward is None else spot.below(onward, value)


def reference(spot: Spot, target: SchemaNode | str, value: Any) -> Sequence[Finding]:
    """What it refers to must hold."""
    if isinstance(target, SchemaNode):
        return spot.below(target, value)
    return spot.said(None, f"cannot be judged: it refers to {target[:80]}, which is not in the schema")


def undecidable(spot: Spot, _: Any, value: Any) -> Sequence[Finding]:
    """A keyword of JSON Schema that is not judged."""
    return spot.said(None, "cannot be judged: the schema uses $dynamicRef or unevaluatedItems")
