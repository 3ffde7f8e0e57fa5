"""The keywords of JSON Schema for values and arrays, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentcore_rl.read.call_errors import Finding, ToolCallError
from agentcore_rl.read.canonical import canonical_json
from agentcore_rl.read.json_schema import branches, objects
from agentcore_rl.read.json_schema.document import SchemaNode
from agentcore_rl.read.json_schema.judgement import FINE, Check, Spot, shown
from agentcore_rl.read.json_schema.patterns import Pattern

__all__ = ["CHECKS"]

VALUE = ToolCallError.WRONG_VALUE


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _a(kind: str) -> str:
    return kind if kind == "null" else f"{'an' if kind[0] in 'aio' else 'a'} {kind}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _type(spot: Spot, wanted: list[str], value: Any) -> Sequence[Finding]:
    kind = _kind(value)
    if kind in wanted or (kind == "integer" and "number" in wanted):
        return FINE
    # JSON Schema's integers are numbers without a fraction: 1.0 is one.
    if kind == "number" and "integer" in wanted and value.is_integer():
        return FINE
    told = _a(kind) if isinstance(value, dict | list) or value is None else f"{_a(kind)} ({shown(value)})"
    return spot.said(ToolCallError.WRONG_TYPE, f"must be {' or '.join(map(_a, wanted))}, not {told}")


def _enum(spot: Spot, allowed: Mapping[str, Any], value: Any) -> Sequence[Finding]:
    form = canonical_json(value)
    spot.spend(len(form) // 8)
    if form in allowed:
        return FINE
    some = ", ".join(shown(one) for one in list(allowed.values())[:8])
    more = f", ... ({len(allowed)} values)" if len(allowed) > 8 else ""
    return spot.said(VALUE, f"is {shown(value)}, which is none of {some}{more}")


def _const(spot: Spot, wanted: tuple[str, Any], value: Any) -> Sequence[Finding]:
    form = canonical_json(value)
    spot.spend(len(form) // 8)
    return FINE if form == wanted[0] else spot.said(VALUE, f"must be {shown(wanted[1])}, not {shown(value)}")


# ---- numbers and strings


def _bound(holds: Callable[[Any, Any], bool], words: str) -> Check:
    def check(spot: Spot, limit: Any, value: Any) -> Sequence[Finding]:
        if not _is_number(value) or holds(value, limit):
            return FINE
        return spot.said(VALUE, f"must be {words} {shown(limit)}, not {shown(value)}")

    return check


def _multiple(spot: Spot, unit: Any, value: Any) -> Sequence[Finding]:
    if not _is_number(value):
        return FINE
    from fractions import Fraction

    # As the numbers were written: 0.3 is a multiple of 0.1, which binary fractions would deny.
    if Fraction(repr(value)) % Fraction(repr(unit)) == 0:
        return FINE
    return spot.said(VALUE, f"must be a multiple of {shown(unit)}, not {shown(value)}")


def _size(kind: type[str] | type[list[Any]] | type[dict[str, Any]], least: bool, what: str) -> Check:
    words = "at least" if least else "at most"

    def check(spot: Spot, limit: int, value: Any) -> Sequence[Finding]:
        if not isinstance(value, kind) or (len(value) >= limit if least else len(value) <= limit):
            return FINE
        return spot.said(VALUE, f"must have {words} {limit} {what}, not {len(value)}")

    return check


def _pattern(spot: Spot, pattern: Pattern | str, value: Any) -> Sequence[Finding]:
    if not isinstance(value, str):
        return FINE
    if isinstance(pattern, str):
        return spot.said(None, f"cannot be judged: its pattern {pattern}")
    if pattern.search(value, spot.spend):
        return FINE
    return spot.said(VALUE, f"is {shown(value)}, which does not match the pattern {shown(pattern.text)}")


# ---- arrays


def _items(spot: Spot, rule: SchemaNode | list[SchemaNode], value: Any) -> Sequence[Finding]:
    if isinstance(rule, list):  # the tuple of earlier drafts
        return _prefix(spot, rule, value)
    return _rest(spot, rule, value, len(spot.node.keywords.get("prefixItems", ())))


def _prefix(spot: Spot, rules: Sequence[SchemaNode], value: Any) -> Sequence[Finding]:
    if not isinstance(value, list):
        return FINE
    found: list[Finding] = []
    for index, (rule, item) in enumerate(zip(rules, value, strict=False)):
        found += spot.below(rule, item, index)
    return found


def _additional_items(spot: Spot, rule: SchemaNode, value: Any) -> Sequence[Finding]:
    leading = spot.node.keywords.get("items")
    return _rest(spot, rule, value, len(leading)) if isinstance(leading, list) else FINE


def _rest(spot: Spot, rule: SchemaNode, value: Any, start: int) -> Sequence[Finding]:
    if not isinstance(value, list):
        return FINE
    found: list[Finding] = []
    for index in range(start, len(value)):
        found += spot.below(rule, value[index], index)
    return found


def _contains(spot: Spot, rule: SchemaNode, value: Any) -> Sequence[Finding]:
    if not isinstance(value, list):
        return FINE
    holds = [spot.holds(rule, item) for item in value]
    sure, possible = holds.count(True), len(value) - holds.count(False)
    least, most = spot.node.keywords.get("minContains", 1), spot.node.keywords.get("maxContains")
    if possible < least:
        return spot.said(VALUE, f"must have at least {least} items of a certain form, not {possible}")
    if most is not None and sure > most:
        return spot.said(VALUE, f"must have at most {most} items of a certain form, not {sure}")
    if sure < least or (most is not None and possible > most):
        return spot.said(None, "cannot be judged: some of its items cannot be")
    return FINE


def _unique(spot: Spot, _: bool, value: Any) -> Sequence[Finding]:
    if not isinstance(value, list):
        return FINE
    forms = [canonical_json(item) for item in value]
    spot.spend(sum(map(len, forms)) // 8)
    return FINE if len(set(forms)) == len(forms) else spot.said(VALUE, "has the same item twice")


CHECKS: Mapping[str, Check] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _bound(lambda value, limit: bool(value >= limit), "at least"),
    "maximum": _bound(lambda value, limit: bool(value <= limit), "at most"),
    "exclusiveMinimum": _bound(lambda value, limit: bool(value > limit), "more than"),
    "exclusiveMaximum": _bound(lambda value, limit: bool(value < limit), "less than"),
    "multipleOf": _multiple,
    "minLength": _size(str, True, "characters"),
    "maxLength": _size(str, False, "characters"),
    "pattern": _pattern,
    "items": _items,
    "prefixItems": _prefix,
    "additionalItems": _additional_items,
    "contains": _contains,
    "minItems": _size(list, True, "items"),
    "maxItems": _size(list, False, "items"),
    "uniqueItems": _unique,
    "required": objects.required,
    "properties": objects.properties,
    "patternProperties": objects.pattern_properties,
    "additionalProperties": objects.additional_properties,
    "unevaluatedProperties": objects.unevaluated_properties,
    "propertyNames": objects.property_names,
    "dependencies": objects.dependencies,
    "dependentRequired": objects.dependencies,
    "dependentSchemas": objects.dependencies,
    "minProperties": _size(dict, True, "names"),
    "maxProperties": _size(dict, False, "names"),
    "allOf": branches.all_of,
    "anyOf": branches.any_of,
    "oneOf": branches.one_of,
    "not": branches.not_,
    "if": branches.if_,
    "$ref": branches.reference,
    "$dynamicRef": branches.undecidable,
    "$recursiveRef": branches.undecidable,
    "unevaluatedItems": branches.undecidable,
}
"""What each keyword finds wrong; keywords that are not here say nothing."""
