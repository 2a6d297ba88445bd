"""Test that the cost of a schema bounds the evaluations of a validator, counted by a keyword of these tests."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.json_types import JsonValue
from rendering.schema_bounds import BoundedSchema, bound_schema, payload_size
from rendering.schema_costs import COST_LIMIT, UnsupportedSchema, cost_of

Schema = dict[str, Any]


def refusal(schema: Schema) -> tuple[str, str]:
    with pytest.raises(UnsupportedSchema) as caught:
        cost_of(schema)
    return caught.value.problem.pointer, caught.value.problem.detail


def chain(reference: str, times: int, **more: Any) -> Schema:
    """Build definitions that each refer to the next one twice, so that the last is evaluated 2**times times."""
    steps: Schema = {f"a{n}": {"allOf": [{"$ref": reference.format(f"a{n + 1}")}] * 2} for n in range(times)}
    return {"$ref": reference.format("a0"), "$defs": {**steps, f"a{times}": {"type": "string"}}, **more}


def in_each_other(times: int, inner: Schema, keyword: str) -> Schema:
    for _ in range(times):
        inner = {"allOf": [inner], keyword: False}
    return inner


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        (chain("#/%24defs/{}", 27, **{"%24defs": {f"a{n}": True for n in range(28)}}), "/$ref"),
        ({"$ref": "#/$defs/%61", "$defs": {"a": {}, "%61": {}}}, "/$ref"),
        ({"$ref": "#/$defs/a\t", "$defs": {"a": {}, "a\t": {}}}, "/$ref"),
        ({"$ref": "#/$defs/ä", "$defs": {"ä": {}}}, "/$ref"),
        ({"$ref": "#a", "$defs": {"x": {"type": "null"}}}, "/$ref"),
        ({"$ref": ""}, "/$ref"),
        ({"$ref": "?#/$defs/a", "$defs": {"a": {}}}, "/$ref"),
        ({"$ref": "#/$defs/~2", "$defs": {"~2": {}}}, "/$ref"),
        ({"$ref": "#/allOf/0", "allOf": [{}]}, "/$ref"),
        ({"$ref": "#/enum/0", "enum": [{}]}, "/$ref"),
        ({"$ref": "#/const", "const": {}}, "/$ref"),
        ({"$ref": "#/unknown/a", "unknown": {"a": {}}}, "/$ref"),
        ({"$ref": "#/$defs", "$defs": {"a": {}}}, "/$ref"),
        ({"$ref": "#/$defs/a/", "$defs": {"a": {"": {}}}}, "/$ref"),
        ({"$ref": "#/dependencies/a", "dependencies": {"a": ["b"]}}, "/$ref"),
        ({"$ref": 7}, "/$ref"),
        ({"$anchor": "a"}, "/$anchor"),
        ({"properties": {"p": {"$dynamicAnchor": "a"}}}, "/properties/p/$dynamicAnchor"),
        ({"$defs": {"a": {"$dynamicRef": "#a"}}}, "/$defs/a/$dynamicRef"),
        ({"not": {"$recursiveRef": "#"}}, "/not/$recursiveRef"),
        ({"$vocabulary": {}}, "/$vocabulary"),
        ({"if": {"$id": "https://x.test/"}}, "/if/$id"),
        ({"contentSchema": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}, "/contentSchema/$schema"),
        ({"$schema": "https://json-schema.org/draft/2019-09/schema"}, "/$schema"),
        ({"dependentSchemas": {"a": {"then": {"$ref": "#"}}}}, "/dependentSchemas/a/then/$ref"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(schema: Schema, where: str) -> None:
    assert refusal(schema)[0] == where


@pytest.mark.parametrize("keyword", ["$anchor", "$dynamicRef", "$id", "$ref", "$schema", "$vocabulary"])
def test_a_property_may_have_the_name_of_a_keyword(keyword: str) -> None:
    assert cost_of({"properties": {keyword: {"type": "string"}}, "required": [keyword]}) < 10


def test_data_is_not_followed() -> None:
    assert cost_of({"const": {"$ref": "#/%24defs/a"}, "examples": [{"$anchor": "a"}]}) < 10


@pytest.mark.parametrize(
    "schema",
    [
        chain("#/$defs/{}", 13),
        {"if": chain("#/$defs/{}", 11), **chain("#/$defs/{}", 11), "then": chain("#/$defs/{}", 11)},
        {"patternProperties": {f"^a{n}": {} for n in range(100)}},
        {"allOf": [{"pattern": f"a{n}"} for n in range(100)]},
        {"enum": list(range(COST_LIMIT))},
        {"required": [str(n) for n in range(COST_LIMIT)]},
        {"properties": {f"p{n}": {"items": {"type": "string"}} for n in range(2_000)}},
        # 14 of these took 1.3 s for an object of 100 properties, 8 of them 4 ms.
        in_each_other(8, {"properties": {"a": {"type": "integer"}}}, "unevaluatedProperties"),
        in_each_other(8, {"prefixItems": [{"type": "integer"}]}, "unevaluatedItems"),
    ],
)
def test_an_expensive_schema_is_refused(schema: Schema) -> None:
    assert f"more than {COST_LIMIT}" in refusal(schema)[1] or "deeper than" in refusal(schema)[1]


def test_the_depth_counts_whichever_definition_is_seen_first() -> None:
    links: Schema = {f"a{n}": {"not": {"$ref": f"#/$defs/a{n + 1}"}} for n in range(40)}
    definitions = {**links, "a40": {"type": "string"}}
    for order in (sorted(definitions), sorted(definitions, reverse=True)):
        assert "deeper than" in refusal({"$defs": {name: definitions[name] for name in order}, "$ref": "#/$defs/a0"})[1]


def test_a_definition_is_counted_at_each_reference() -> None:
    unused = {"type": "object", "$defs": {f"a{n}": {"enum": list(range(900))} for n in range(50)}}
    assert cost_of(unused) < 10


@pytest.mark.parametrize(
    ("schema", "free"),
    [
        ({}, True),
        ({"title": "Order", "$comment": "all", "$defs": {"a": {"type": "string"}}, "default": {}}, True),
        ({"$id": "https://x.test/a", "$schema": "https://json-schema.org/draft/2020-12/schema"}, True),
        ({"type": "object"}, False),
        ({"properties": {}}, False),
    ],
)
def test_a_schema_of_annotations_accepts_everything(schema: Schema, free: bool) -> None:
    limited = bound_schema(schema)
    assert isinstance(limited, BoundedSchema)
    assert limited.accepts_everything is free


@pytest.mark.parametrize(
    ("payload", "size"),
    [
        ({}, 1),
        (None, 1),
        ([[], [[]], {}], 5),
        ({"a": 1, "b": [1, 2]}, 5),
        ("x" * 128, 3),
        ({"k" * 64: "x" * 64}, 4),
    ],
)
def test_the_size_of_a_payload_counts_values_and_characters(payload: JsonValue, size: int) -> None:
    assert payload_size(payload) == size


# Each evaluates its sub-schema at least once for some payload, in place or in a child.
WAYS: dict[str, Callable[[Schema], Schema]] = {
    "$ref": lambda inner: inner,
    "additionalProperties": lambda inner: {"additionalProperties": inner},
    "allOf": lambda inner: {"allOf": [inner, inner, inner]},
    "anyOf": lambda inner: {"anyOf": [{"not": inner}, inner]},
    "contains": lambda inner: {"contains": inner, "minContains": 0, "maxContains": 9},
    "dependencies": lambda inner: {"dependencies": {"a": inner, "b": inner}},
    "dependentSchemas": lambda inner: {"dependentSchemas": {"a": inner, "b": inner}},
    "if": lambda inner: {"if": inner, "then": inner, "else": inner},
    "items": lambda inner: {"items": inner, "allOf": [{"items": inner}]},
    "not": lambda inner: {"not": {"not": inner}},
    "oneOf": lambda inner: {"oneOf": [{"not": inner}, inner]},
    "patternProperties": lambda inner: {"patternProperties": {"a": inner, "a|b": inner}},
    "prefixItems": lambda inner: {"prefixItems": [inner, inner]},
    "properties": lambda inner: {"properties": {"a": inner, "b": inner}},
    "propertyNames": lambda inner: {"propertyNames": inner},
    "unevaluatedItems": lambda inner: {"allOf": [inner], "unevaluatedItems": True},
    "unevaluatedItems in a child": lambda inner: {"unevaluatedItems": inner},
    "unevaluatedProperties": lambda inner: {"allOf": [inner], "unevaluatedProperties": True},
    "unevaluatedProperties of any": lambda inner: {"anyOf": [inner, {"x-counted": 1}], "unevaluatedProperties": True},
    "unevaluatedProperties in a child": lambda inner: {"unevaluatedProperties": inner},
}
LEVELS = 5
OBJECT: JsonValue = {"a": {"a": {"a": 1, "b": 2}}, "b": {"a": {}, "b": []}}
ARRAY: JsonValue = [[[1, 2], [3]], [[]]]
PAYLOADS: tuple[JsonValue, ...] = ({}, [], 1, {"a": 1}, [1], OBJECT, ARRAY, {"a": ARRAY}, [OBJECT])


def stacked(ways: Sequence[str]) -> Schema:
    """Nest keywords: each evaluates the next one's definition; the last accepts everything."""
    inner = {f"d{n}": WAYS[way]({"$ref": f"#/$defs/d{n + 1}"}) for n, way in enumerate(ways)}
    counted = {name: {"x-counted": 1, **schema} for name, schema in inner.items()}
    return {"$ref": "#/$defs/d0", "$defs": {**counted, f"d{len(ways)}": {"x-counted": 1}}}


class CountingValidator:
    """Count evaluations with a keyword that accepts everything."""

    calls = 0

    def __init__(self, parent_schema: Schema, value: Any, schema_path: list[str | int]) -> None:
        pass

    def validate(self, instance: Any) -> None:
        CountingValidator.calls += 1


def evaluations(schema: Schema, payload: JsonValue) -> int:
    validator = jsonschema_rs.Draft202012Validator(schema, keywords={"x-counted": CountingValidator})
    CountingValidator.calls = 0
    validator.is_valid(payload)
    return CountingValidator.calls


def test_the_counting_keyword_counts() -> None:
    assert evaluations({"items": {"x-counted": True}, "x-counted": True}, [1, 2]) == 3


@pytest.mark.parametrize("way", WAYS)
def test_the_cost_bounds_the_evaluations_of_each_keyword(way: str) -> None:
    schema = stacked([way] * LEVELS)
    seen = [evaluations(schema, payload) for payload in PAYLOADS]
    assert max(seen) > LEVELS / 2
    for payload, count in zip(PAYLOADS, seen, strict=True):
        assert count <= cost_of(schema) * payload_size(payload)


@given(ways=st.lists(st.sampled_from(sorted(WAYS)), min_size=2, max_size=7), payload=st.sampled_from(PAYLOADS))
def test_the_cost_bounds_the_evaluations_of_mixed_keywords(ways: list[str], payload: JsonValue) -> None:
    limited = bound_schema(stacked(ways))
    if isinstance(limited, BoundedSchema):
        assert evaluations(json.loads(limited.text), payload) <= limited.cost * payload_size(payload)
