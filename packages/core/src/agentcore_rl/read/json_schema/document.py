"""A JSON schema, read: checked keyword by keyword, its references resolved inside it and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from agentcore_rl.read.canonical import canonical_json
from agentcore_rl.read.json_schema.pattern_syntax import InvalidPattern, UnsupportedPattern
from agentcore_rl.read.json_schema.patterns import Pattern

__all__ = ["TYPES", "InvalidSchema", "SchemaNode", "read_schema"]

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
"""JSON Schema's names of types."""

_ONE = (
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "additionalProperties",
    "unevaluatedProperties",
)
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions", "dependentSchemas")
_COUNTS = (
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("minContains", "maxContains"),
)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_CANNOT = ("$dynamicRef", "$recursiveRef", "unevaluatedItems")
_EARLIER = ("draft-03", "draft-04", "draft-05", "draft-06", "draft-07")


class InvalidSchema(Exception):
    """The schema breaks the rules of JSON Schema; the text says where and how."""


@dataclass(slots=True, eq=False)
class SchemaNode:
    """One schema, ready to be judged by.

    Attributes:
        never: it is `false`: nothing is valid.
        keywords: keyword -> its value: nodes in place of schemas, `Pattern`s in place of expressions, the
            canonical forms of `enum` and `const`.
    """

    never: bool = False
    keywords: dict[str, Any] = field(default_factory=dict)


def read_schema(document: Any) -> SchemaNode:
    """Read a schema and everything in it.

    Raises:
        InvalidSchema: a keyword has a value that JSON Schema does not allow.
    """
    return _Reader(document).read()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a schema stands: what `#` means there, and its path for people."""

    root: Any
    where: str

    def below(self, *parts: object) -> _Place:
        return _Place(self.root, "".join((self.where, *(f"/{part}" for part in parts))))


class _Reader:
    """Reads without recursion, since a schema may be nested as deeply as it likes."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._nodes: dict[tuple[int, int], SchemaNode] = {}
        self._todo: list[tuple[SchemaNode, Mapping[str, Any], _Place]] = []
        self._references: list[tuple[SchemaNode, str, _Place]] = []
        self._ids: dict[str, Any] = {}
        self._anchors: dict[tuple[int, str], Any] = {}
        self._earlier = isinstance(document, dict) and any(
            draft in str(document.get("$schema")) for draft in _EARLIER
        )

    def read(self) -> SchemaNode:
        root = self._node(self._document, _Place(self._document, "#"))
        while self._todo or self._references:
            while self._todo:
                self._fill(*self._todo.pop())
            if self._references:
                self._resolve(*self._references.pop())
        return root

    def _node(self, schema: Any, place: _Place) -> SchemaNode:
        if isinstance(schema, bool):
            return SchemaNode(never=not schema)
        if not isinstance(schema, dict):
            raise InvalidSchema(f"{place.where} is no schema, which is an object or a boolean")
        own = schema.get("$id")
        if isinstance(own, str) and not own.startswith("#"):
            self._ids[own.removesuffix("#")] = schema
            place = _Place(schema, place.where)
        key = (id(schema), id(place.root))
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = SchemaNode()
            self._todo.append((node, schema, place))
        return node

    def _fill(self, node: SchemaNode, schema: Mapping[str, Any], place: _Place) -> None:
        anchor = schema.get("$anchor")
        if isinstance(anchor, str):
            self._anchors[id(place.root), anchor] = schema
        if "$ref" in schema and self._earlier:  # there it stands alone
            schema = {name: schema[name] for name in ("$ref", "definitions", "$defs") if name in schema}
        for name, value in schema.items():
            kept = self._keyword(name, value, place.below(name), node)
            if kept is not None:
                node.keywords[name] = kept
        if schema.get("nullable") is True and "type" in schema:
            node.keywords["nullable"] = True
        for bound in ("minimum", "maximum"):  # draft-04: a flag beside the bound
            strict = f"exclusive{bound.capitalize()}"
            if schema.get(strict) is True and bound in node.keywords:
                node.keywords[strict] = node.keywords.pop(bound)

    def _keyword(self, name: str, value: Any, place: _Place, node: SchemaNode) -> Any:
        """What is kept of a keyword; None when it says nothing."""
        if name in _ONE:
            return self._node(value, place)
        if name in _MANY:
            return self._list(value, place)
        if name in _NAMED:
            return self._named(value, place)
        if name == "items":
            return self._list(value, place) if isinstance(value, list) else self._node(value, place)
        if name == "additionalItems":
            return self._node(value, place)
        if name == "patternProperties":
            return [(_pattern(key, place), child) for key, child in self._named(value, place).items()]
        if name == "$ref":
            if not isinstance(value, str):
                raise InvalidSchema(f"{place.where} is no string")
            self._references.append((node, value, place))
            return None
        if name in ("dependencies", "dependentRequired"):
            return self._dependencies(value, place, name)
        if name in _CANNOT:
            return True
        return _assertion(name, value, place)

    def _list(self, value: Any, place: _Place) -> list[SchemaNode]:
        if not isinstance(value, list) or not value:
            raise InvalidSchema(f"{place.where} is no list of schemas")
        return [self._node(one, place.below(index)) for index, one in enumerate(value)]

    def _named(self, value: Any, place: _Place) -> dict[str, SchemaNode]:
        if not isinstance(value, dict):
            raise InvalidSchema(f"{place.where} is no object of schemas")
        return {key: self._node(one, place.below(key)) for key, one in value.items()}

    def _dependencies(self, value: Any, place: _Place, name: str) -> dict[str, SchemaNode | list[str]]:
        if not isinstance(value, dict):
            raise InvalidSchema(f"{place.where} is no object")
        kept: dict[str, SchemaNode | list[str]] = {}
        for key, one in value.items():
            if isinstance(one, list) or name == "dependentRequired":
                kept[key] = _strings(one, place.below(key))
            else:
                kept[key] = self._node(one, place.below(key))
        return kept

    def _resolve(self, node: SchemaNode, reference: str, place: _Place) -> None:
        there, _, fragment = reference.partition("#")
        root = self._ids.get(there) if there else place.root
        target: Any = None
        if root is not None:
            fragment = unquote(fragment)
            if fragment.startswith("/") or not fragment:
                target = _pointed(root, fragment)
            else:
                target = self._anchors.get((id(root), fragment))
        if target is None:
            node.keywords["$ref"] = reference  # a string is one that leads nowhere
        else:
            node.keywords["$ref"] = self._node(target, _Place(root, f"{place.where} -> {reference}"))


def _pointed(root: Any, fragment: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to; None when there is nothing."""
    for escaped in fragment.split("/")[1:]:
        part = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(root, dict):
            root = root.get(part)
        elif isinstance(root, list) and part.isascii() and part.isdigit() and len(part) < 8:
            root = root[int(part)] if int(part) < len(root) else None
        else:
            return None
    return root


def _assertion(name: str, value: Any, place: _Place) -> Any:
    if name == "type":
        kinds = _strings(value, place) if isinstance(value, list) else [value]
        unknown = [kind for kind in kinds if kind not in TYPES]
        if unknown or not kinds:
            raise InvalidSchema(f"{place.where} names {_shown(unknown)}, which is no type of JSON Schema")
        return kinds
    if name == "enum":
        if not isinstance(value, list):
            raise InvalidSchema(f"{place.where} is no list")
        return {canonical_json(one): one for one in value}
    if name == "const":
        return (canonical_json(value), value)
    if name == "required":
        return _strings(value, place)
    if name == "pattern":
        return _pattern(value, place)
    if name in _COUNTS:
        return _counted(value, place)
    if name in _BOUNDS:
        return _bounded(name, value, place)
    if name == "uniqueItems":
        if not isinstance(value, bool):
            raise InvalidSchema(f"{place.where} is no boolean")
        return value or None
    return None


def _strings(value: Any, place: _Place) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidSchema(f"{place.where} is no list of strings")
    return list(value)


def _pattern(value: Any, place: _Place) -> Pattern | str:
    """The pattern; its reason as a string where it cannot be matched."""
    if not isinstance(value, str):
        raise InvalidSchema(f"{place.where} is no string")
    try:
        return Pattern(value)
    except InvalidPattern as invalid:
        raise InvalidSchema(f"{place.where} is no regular expression: it {invalid}") from None
    except UnsupportedPattern as unsupported:
        return str(unsupported)


def _counted(value: Any, place: _Place) -> int:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    if not whole or value != math.floor(value):
        raise InvalidSchema(f"{place.where} is no whole number of at least 0")
    return int(value)


def _bounded(name: str, value: Any, place: _Place) -> Any:
    if isinstance(value, bool) and name.startswith("exclusive"):
        return None  # draft-04: read together with its bound
    if isinstance(value, bool) or not isinstance(value, int | float) or (name == "multipleOf" and value <= 0):
        raise InvalidSchema(f"{place.where} is no number{' above 0' if name == 'multipleOf' else ''}")
    return value


def _shown(values: list[Any]) -> str:
    def text() -> Iterator[str]:
        for value in values[:3]:
            yield repr(value)[:60]

    return ", ".join(text()) or "nothing"
