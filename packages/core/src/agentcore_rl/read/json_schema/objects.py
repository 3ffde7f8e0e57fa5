"""The keywords of JSON Schema for objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentcore_rl.read.call_errors import Finding, ToolCallError
from agentcore_rl.read.json_schema.document import SchemaNode
from agentcore_rl.read.json_schema.judgement import FINE, Spot
from agentcore_rl.read.json_schema.patterns import Pattern

__all__ = [
    "additional_properties",
    "dependencies",
    "pattern_properties",
    "properties",
    "property_names",
    "required",
    "unevaluated_properties",
]

MISSING, UNEXPECTED = ToolCallError.MISSING_ARGUMENT, ToolCallError.UNEXPECTED_ARGUMENT


def required(spot: Spot, names: Sequence[str], value: Any) -> Sequence[Finding]:
    """These names must be there."""
    if not isinstance(value, dict):
        return FINE
    missing = [name for name in names if name not in value]
    return [one for name in missing for one in spot.said(MISSING, "is missing, and required", name)]


def properties(spot: Spot, named: Mapping[str, SchemaNode], value: Any) -> Sequence[Finding]:
    """What stands under these names must satisfy their schemas."""
    if not isinstance(value, dict):
        return FINE
    found: list[Finding] = []
    for key in named if len(named) < len(value) else value:
        if key in named and key in value:
            found += spot.below(named[key], value[key], key)
    return found


def pattern_properties(
    spot: Spot, rules: Sequence[tuple[Pattern | str, SchemaNode]], value: Any
) -> Sequence[Finding]:
    """What stands under names that match must satisfy the pattern's schema."""
    if not isinstance(value, dict):
        return FINE
    found: list[Finding] = []
    for pattern, rule in rules:
        if isinstance(pattern, str):
            if value:
                found += spot.said(None, f"cannot be judged: a pattern of its names {pattern}")
            continue
        for key, item in value.items():
            if pattern.search(key, spot.spend):
                found += spot.below(rule, item, key)
    return found


def _further(spot: Spot, value: Mapping[str, Any]) -> list[str] | None:
    """The names that neither `properties` nor `patternProperties` speak of; None when that cannot be told."""
    named = spot.node.keywords.get("properties") or {}
    rules = spot.node.keywords.get("patternProperties") or ()
    spot.spend(len(value))
    if not rules:
        return [key for key in value if key not in named]
    if any(isinstance(pattern, str) for pattern, _ in rules):
        return None
    return [
        key
        for key in value
        if key not in named and not any(pattern.search(key, spot.spend) for pattern, _ in rules)
    ]


def additional_properties(spot: Spot, rule: SchemaNode, value: Any) -> Sequence[Finding]:
    """What stands under further names must satisfy this."""
    further = _further(spot, value) if isinstance(value, dict) else None
    # Where it cannot be told which those are, `patternProperties` has said so.
    return [] if further is None else _unnamed(spot, rule, value, further)


def _unnamed(spot: Spot, rule: SchemaNode, value: Mapping[str, Any], names: Sequence[str]) -> list[Finding]:
    said = "is an argument that the tool does not have" if spot.is_root else "is a name that is not allowed"
    found: list[Finding] = []
    for key in names:
        found += spot.said(UNEXPECTED, said, key) if rule.never else spot.below(rule, value[key], key)
    return found


def unevaluated_properties(spot: Spot, rule: SchemaNode, value: Any) -> Sequence[Finding]:
    """What stands under names of which nothing else has spoken must satisfy this."""
    if not isinstance(value, dict):
        return FINE
    known = _evaluated(spot, value, own=True)
    if known is None:
        return spot.said(None, "cannot be judged: which further names it may have depends on what cannot be")
    return _unnamed(spot, rule, value, [key for key in value if key not in known])


def _evaluated(spot: Spot, value: Mapping[str, Any], *, own: bool = False) -> set[str] | None:
    """The names that a schema and those that it applies in place speak of; None when that cannot be told."""
    keywords = spot.node.keywords
    further = _further(spot, value)
    if further is None or isinstance(keywords.get("$ref"), str):
        return None
    if "additionalProperties" in keywords or (not own and "unevaluatedProperties" in keywords):
        return set(value)
    known = set(value).difference(further)
    for rule in _applied(spot, value):
        inner = None if rule is None else _evaluated(spot.applied(rule), value)
        if inner is None:
            return None
        known |= inner
    return known


def _applied(spot: Spot, value: Mapping[str, Any]) -> Iterator[SchemaNode | None]:
    """The schemas that this one applies to the same value, and that hold; None where that cannot be told."""
    keywords = spot.node.keywords
    tried = [*keywords.get("allOf", ()), *keywords.get("anyOf", ()), *keywords.get("oneOf", ())]
    tried += [rule for key, rule in keywords.get("dependentSchemas", {}).items() if key in value]
    if "$ref" in keywords:
        tried.append(keywords["$ref"])
    if "if" in keywords:
        holds = spot.holds(keywords["if"], value)
        if holds is not False:
            yield keywords["if"] if holds else None
        onward = keywords.get("then" if holds else "else")
        tried += [] if onward is None else [onward]
    for rule in tried:
        holds = spot.holds(rule, value)
        if holds is not False:
            yield rule if holds else None


def property_names(spot: Spot, rule: SchemaNode, value: Any) -> Sequence[Finding]:
    """Every name must satisfy this."""
    found: list[Finding] = []
    for key in value if isinstance(value, dict) else ():
        holds = spot.holds(rule, key)
        if holds is not True:
            error = UNEXPECTED if holds is False else None
            found += spot.said(
                error, "is a name that is not allowed" if error else "has a name that cannot be judged", key
            )
    return found


def dependencies(spot: Spot, rules: Mapping[str, SchemaNode | list[str]], value: Any) -> Sequence[Finding]:
    """Where a name is there, others must be, or a schema must hold."""
    found: list[Finding] = []
    for key, rule in rules.items() if isinstance(value, dict) else ():
        if key not in value:
            continue
        if isinstance(rule, SchemaNode):
            found += spot.below(rule, value)
            continue
        for name in rule:
            if name not in value:
                found += spot.said(MISSING, f"is missing, and required beside {key[:60]}", name)
    return found
