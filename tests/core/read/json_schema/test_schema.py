"""Arguments are judged as JSON Schema says, whatever schema and arguments are."""

import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry

from agentcore_rl.read.call_errors import ToolCallError, gravest
from agentcore_rl.read.json_schema import Schema, verdict


def judged(schema: Any, value: Any) -> bool | None:
    """Whether the value is valid; None when it cannot be told."""
    return verdict(Schema(schema).check(value, size=len(json.dumps(value))))


def found(schema: Any, value: Any) -> list[tuple[str, str | None]]:
    """Path and class of every finding."""
    findings = Schema(schema).check(value, size=len(json.dumps(value)))
    return [(one.path, one.error and one.error.value) for one in findings]


def wants(**properties: Any) -> dict[str, Any]:
    """The schema of an object with these properties, all required and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TREE = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "below": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name"],
        }
    },
}


@pytest.mark.parametrize(
    ("schema", "value", "findings"),
    [
        (wants(city={"type": "string"}), {}, [("$.city", "missing_argument")]),
        (wants(city={"type": "string"}), {"city": "x", "zip": 1}, [("$.zip", "unexpected_argument")]),
        (wants(city={"type": "string"}), {"city": 1}, [("$.city", "wrong_type")]),
        (wants(unit={"enum": ["C", "F"]}), {"unit": "K"}, [("$.unit", "wrong_value")]),
        (wants(unit={"const": 1}), {"unit": True}, [("$.unit", "wrong_value")]),
        (wants(n={"type": "integer", "minimum": 1, "maximum": 3}), {"n": 0}, [("$.n", "wrong_value")]),
        (wants(n={"exclusiveMaximum": 3}), {"n": 3}, [("$.n", "wrong_value")]),
        (wants(n={"maximum": 3, "exclusiveMaximum": True}), {"n": 3}, [("$.n", "wrong_value")]),
        (wants(n={"maximum": 3, "exclusiveMaximum": False}), {"n": 3}, []),
        (wants(n={"multipleOf": 0.1}), {"n": 0.3}, []),
        (wants(n={"multipleOf": 0.1}), {"n": 0.35}, [("$.n", "wrong_value")]),
        (wants(n={"type": "integer"}), {"n": 1.0}, []),
        (wants(n={"type": "integer"}), {"n": 1.5}, [("$.n", "wrong_type")]),
        (wants(n={"type": "integer"}), {"n": True}, [("$.n", "wrong_type")]),
        (wants(n={"type": "number"}), {"n": 10**40}, []),
        (wants(n={"type": "number", "nullable": True}), {"n": None}, []),
        (wants(n={"nullable": True, "enum": [1]}), {"n": None}, [("$.n", "wrong_value")]),
        (wants(n={"type": ["number", "null"]}), {"n": None}, []),
        (wants(n={"anyOf": [{"type": "integer"}, {"type": "null"}]}), {"n": "1"}, [("$.n", "wrong_type")]),
        (
            wants(n={"anyOf": [wants(a={"type": "integer"}), {"type": "null"}]}),
            {"n": {"b": 1}},
            [("$.n.a", "missing_argument"), ("$.n.b", "unexpected_argument")],
        ),
        (wants(n={"oneOf": [{"type": "integer"}, {"minimum": 0}]}), {"n": 1}, [("$.n", "wrong_value")]),
        (wants(n={"not": {"type": "string"}}), {"n": ""}, [("$.n", "wrong_value")]),
        (
            wants(s={"minLength": 2, "maxLength": 3, "pattern": "^x"}),
            {"s": "y"},
            [("$.s", "wrong_value")] * 2,
        ),
        (wants(s={"maxLength": 1}), {"s": "😀"}, []),
        (
            wants(a={"type": "array", "items": {"type": "integer"}, "minItems": 2}),
            {"a": ["x"]},
            [("$.a[0]", "wrong_type"), ("$.a", "wrong_value")],
        ),
        (
            wants(a={"items": [{"type": "integer"}], "additionalItems": {"type": "string"}}),
            {"a": [1, 2]},
            [("$.a[1]", "wrong_type")],
        ),
        (
            wants(a={"prefixItems": [{"type": "integer"}], "items": False}),
            {"a": [1, 2]},
            [("$.a[1]", "wrong_value")],
        ),
        (wants(a={"uniqueItems": True}), {"a": [1, 1.0]}, [("$.a", "wrong_value")]),
        (wants(a={"uniqueItems": True}), {"a": [1, True, "1"]}, []),
        (wants(a={"contains": {"type": "string"}}), {"a": [1]}, [("$.a", "wrong_value")]),
        ({"propertyNames": {"maxLength": 2}}, {"abc": 1}, [("$.abc", "unexpected_argument")]),
        ({"properties": {"no": False}}, {"no": 1}, [("$.no", "unexpected_argument")]),
        (
            {"patternProperties": {"^n_": {"type": "integer"}}, "additionalProperties": False},
            {"n_a": 1, "m": 2},
            [("$.m", "unexpected_argument")],
        ),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, [("$.b", "missing_argument")]),
        ({"dependencies": {"a": {"required": ["b"]}}}, {"a": 1}, [("$.b", "missing_argument")]),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
            {"a": 1},
            [("$.b", "missing_argument")],
        ),
        (
            {"allOf": [{"properties": {"a": True}}], "unevaluatedProperties": False},
            {"a": 1, "b": 2},
            [("$.b", "unexpected_argument")],
        ),
        (
            TREE,
            {"root": {"name": "a", "below": [{"name": "b"}, {"name": 3}]}},
            [("$.root.below[1].name", "wrong_type")],
        ),
        ({"properties": {"a-b": {"type": "string"}}}, {"a-b": 1}, [('$["a-b"]', "wrong_type")]),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "properties": {"a": {"$ref": "#/definitions/s", "minLength": 9}},
                "definitions": {"s": {"type": "string"}},
            },
            {"a": "x"},
            [],
        ),
        (
            {"properties": {"a": {"$ref": "#here"}}, "$defs": {"x": {"$anchor": "here", "type": "string"}}},
            {"a": 1},
            [("$.a", "wrong_type")],
        ),
        (
            {
                "properties": {"a": {"$ref": "item"}},
                "$defs": {"x": {"$id": "item", "$ref": "#/$defs/y", "$defs": {"y": {"type": "null"}}}},
            },
            {"a": 1},
            [("$.a", "wrong_type")],
        ),
        (None, {}, []),
        (None, {"a": 1}, [("$.a", "unexpected_argument")]),
        ({}, {"a": 1}, []),
        (False, {}, [("$", "wrong_value")]),
    ],
)
def test_what_is_wrong_is_found_where_it_is(schema, value, findings):
    """Every finding has its path and its class."""
    assert found(schema, value) == findings


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "dict"},
        {"type": []},
        {"properties": {"a": {"type": "string", "required": True}}},
        {"properties": []},
        {"properties": {"a": 5}},
        {"enum": "abc"},
        {"pattern": "("},
        {"minLength": -1},
        {"multipleOf": 0},
        {"minimum": "3"},
        {"anyOf": []},
        {"$ref": 5},
        {"$defs": {"unused": {"type": 1}}},
        {"uniqueItems": "yes"},
        {"dependentRequired": {"a": "b"}},
        [],
        "string",
    ],
)
def test_an_invalid_schema_judges_nothing(schema):
    """The tool's author made a mistake, not the model; the sentence says which."""
    sound = Schema(schema)
    assert sound.problem is not None
    assert sound.problem.sentence.startswith("The tool's schema is invalid: #")
    assert verdict(sound.check({"a": 1}, size=8)) is None
    rules = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    assert schema == {"pattern": "("} or not rules.is_valid(schema)  # they leave expressions alone


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/never"},
        {"properties": {"a": {"$ref": "file:///etc/hostname"}}},
        {"$ref": "#/$defs/none"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$dynamicRef": "#x"},
        {"properties": {"a": {"pattern": "(?=x)"}}},
        {"not": {"$ref": "other.json"}},
        {"anyOf": [{"$ref": "other.json"}, False]},
        {"oneOf": [{"$ref": "other.json"}, True]},
        {"if": {"$ref": "other.json"}, "then": False},
        {"properties": {"a": {"contains": {"$ref": "other.json"}}, "b": True}},
        {"unevaluatedProperties": False, "anyOf": [{"$ref": "other.json"}, True]},
    ],
)
def test_what_cannot_be_judged_is_neither_right_nor_wrong(schema):
    """Nothing is fetched, nothing runs for ever, nothing is guessed."""
    findings = Schema(schema).check({"a": ["x"] if "contains" in str(schema) else "x"}, size=9)
    assert findings
    assert gravest(findings) is None
    assert all("cannot be judged" in one.sentence for one in findings)


def test_what_is_certain_stays_certain_beside_what_is_not():
    """A missing argument is missing, whatever the rest of the schema cannot tell."""
    schema = {"required": ["b"], "properties": {"a": {"$ref": "other.json"}}}
    assert gravest(Schema(schema).check({"a": 1}, size=7)) is ToolCallError.MISSING_ARGUMENT
    assert judged({"anyOf": [{"$ref": "other.json"}, True]}, {}) is True


def exploding(levels: int) -> dict[str, Any]:
    """A schema that refers to itself twice on each level: 2 ** levels ways through it."""
    defs: dict[str, Any] = {
        f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{levels}": {"type": "integer"}}}


def deep(levels: int) -> dict[str, Any]:
    """A schema nested so deeply."""
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (exploding(45), {}),
        ({"unevaluatedProperties": False, **exploding(45)}, {}),
        ({"patternProperties": {"(a+)+$": {}}}, {"a" * 20_000 + "b": 1}),
        ({"properties": {"a": {"items": {"items": {"uniqueItems": True}}}}}, {"a": [[[[]] * 50] * 50] * 50}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": list(range(50_000))}),
        ({"properties": {"a": {"enum": list(range(50_000))}}}, {"a": -1}),
        (deep(5_000), {"a": {"a": 1}}),
        ({"properties": {f"p{n}": {"type": "string"} for n in range(20_000)}}, {"p1": 1}),
        ({"anyOf": [{"pattern": "(x+x+)+y"}] * 200}, {"a": "x" * 5_000}),
    ],
)
def test_hostile_schemas_do_not_hang(schema, value):
    """Exponential ways, bombs, depth, size: each is over at once."""
    began = time.process_time()
    judged(schema, value)
    assert time.process_time() - began < 5


def test_work_grows_with_the_arguments_alone():
    """Arguments four times as long may cost four times the steps, and are judged whole."""
    schema = {"properties": {"a": {"items": {"type": "integer", "minimum": 0}}}}
    for size in (10_000, 40_000):
        assert judged(schema, {"a": [7] * size}) is True
        assert judged(schema, {"a": [7] * size + ["x"]}) is False


names = st.sampled_from(["a", "b", "c"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([1.0, 2.5, -0.5])
    | st.text("ab", max_size=3)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
counts = st.integers(0, 3)


def made_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas whose parts are these."""
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "type": kinds | st.lists(kinds, min_size=1, max_size=3, unique=True),
        "enum": st.lists(values, min_size=1, max_size=3),
        "const": values,
        "minimum": st.integers(-2, 2), "maximum": st.integers(-2, 2),
        "exclusiveMinimum": st.integers(-2, 2), "exclusiveMaximum": st.integers(-2, 2),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": counts, "maxLength": counts, "pattern": st.sampled_from(["a", "^b", "^a+b?$"]),
        "minItems": counts, "maxItems": counts, "uniqueItems": st.booleans(),
        "prefixItems": st.lists(inner, min_size=1, max_size=2), "items": inner,
        "contains": inner, "minContains": counts, "maxContains": counts,
        "properties": st.dictionaries(names, inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=2),
        "additionalProperties": inner, "propertyNames": inner, "unevaluatedProperties": inner,
        "required": st.lists(names, max_size=2, unique=True),
        "minProperties": counts, "maxProperties": counts,
        "dependentRequired": st.dictionaries(names, st.lists(names, max_size=2, unique=True), max_size=2),
        "dependentSchemas": st.dictionaries(names, inner, max_size=2),
        "allOf": st.lists(inner, min_size=1, max_size=2), "anyOf": st.lists(inner, min_size=1, max_size=3),
        "oneOf": st.lists(inner, min_size=1, max_size=3), "not": inner,
        "if": inner, "then": inner, "else": inner,
        "$ref": st.sampled_from(["#/$defs/x", "#/$defs/y"]),
    }  # fmt: skip
    return st.lists(st.sampled_from(sorted(keywords)), max_size=4, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({name: keywords[name] for name in chosen})
    )


schemas = st.recursive(st.booleans() | st.fixed_dictionaries({"type": kinds}), made_of, max_leaves=6)
documents = st.builds(
    lambda schema, x, y: {
        **(schema if isinstance(schema, dict) else {"allOf": [schema]}),
        "$defs": {"x": x, "y": y},
    },
    schemas,
    schemas.filter(lambda schema: "$ref" not in str(schema)),
    schemas.filter(lambda schema: "$ref" not in str(schema)),
)


@given(documents, values)
def test_verdicts_are_those_of_the_reference(schema, value):
    """The library jsonschema, an implementation of the same rules, says the same of any schema and value."""
    validator = jsonschema.Draft202012Validator(schema, registry=Registry())
    assert judged(schema, value) == validator.is_valid(value)


KEYWORDS = [
    *("type", "properties", "items", "$ref", "enum", "required", "anyOf", "not", "$id", "$anchor", "pattern"),
    *("$defs", "dependencies", "minimum", "a", "additionalProperties", "if", "then", "multipleOf"),
]
anything = st.recursive(
    scalars | st.sampled_from(["#", "#/x", "(", "string", "http://x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYWORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(anything, values)
def test_nothing_is_ever_raised(schema, value):
    """Whatever was offered as a schema, the answer is a verdict."""
    assert judged(schema, value) in (True, False, None)
