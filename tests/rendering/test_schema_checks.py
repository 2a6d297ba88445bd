import json
import time
from typing import Any

import pytest

from domain.json_types import JsonValue
from rendering.messages import RenderFailure, SchemaProblem
from rendering.renderer import Renderer
from rendering.schema_bounds import BoundedSchema
from rendering.schema_checks import PayloadChecks, check_schema

QUOTE = "4111-secret-1111"


async def violations(renderer: Renderer, schema: dict[str, Any], payload: JsonValue) -> list[SchemaProblem]:
    checks = PayloadChecks(renderer, None)
    checks.add(0, payload, [schema])
    await checks.run()
    return list(checks.problems.get(0, ()))


@pytest.mark.parametrize(
    ("schema", "payload", "pointer", "detail"),
    [
        ({"required": ["name"]}, {}, "/name", "is required"),
        ({"required": ["a/b~c"]}, {}, "/a~1b~0c", "is required"),
        ({"properties": {"o": {"required": ["id"]}}}, {"o": {}}, "/o/id", "is required"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "/b", "is required"),
        ({"properties": {"n": {"type": "string"}}}, {"n": 41111}, "/n", "must be of type string"),
        ({"type": ["string", "null"]}, 41111, "", "must be of type null or string"),
        ({"properties": {"l": {"items": {"type": "null"}}}}, {"l": [None, 1]}, "/l/1", "must be of type null"),
        ({"pattern": "^a"}, QUOTE, "", "must match the pattern"),
        ({"maxLength": 10}, QUOTE, "", "is longer than 10 characters"),
        ({"minLength": 100}, QUOTE, "", "is shorter than 100 characters"),
        ({"enum": ["a", 1]}, QUOTE, "", "must be one of a, 1"),
        ({"const": {"k": 1}}, QUOTE, "", 'must be {"k": 1}'),
        ({"format": "email"}, QUOTE, "", "must be a valid email"),
        ({"maximum": 3}, 41111, "", "must be at most 3"),
        ({"exclusiveMinimum": 50000}, 41111, "", "must be greater than 50000"),
        ({"multipleOf": 10}, 41111, "", "must be a multiple of 10"),
        ({"additionalProperties": False, "properties": {}}, {"x": QUOTE}, "/x", "is not a declared property"),
        ({"additionalProperties": False}, {"x": QUOTE}, "", "has properties that are not declared"),
        ({"unevaluatedProperties": False}, {"x": QUOTE}, "/x", "is not a declared property"),
        ({"propertyNames": {"maxLength": 2}}, {QUOTE: 1}, "", "has a property with a name that is not allowed"),
        ({"anyOf": [{"type": "null"}, {"type": "array"}]}, QUOTE, "",
         "must match at least one of the allowed forms"),
        ({"oneOf": [{"type": "string"}, {"minLength": 1}]}, QUOTE, "",
         "must match exactly one of the allowed forms"),
        ({"not": {"type": "string"}}, QUOTE, "", "has a form that is not allowed"),
        ({"uniqueItems": True}, [QUOTE, QUOTE], "", "must not hold the same item twice"),
        ({"contains": {"type": "null"}}, [QUOTE], "", "must contain a matching item"),
        ({"maxItems": 1}, [QUOTE, QUOTE], "", "has more than 1 items"),
        ({"properties": {"x": False}}, {"x": QUOTE}, "/x", "is not allowed"),
        ({"properties": {"x": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "null"}}}, {"x": QUOTE}, "/x",
         "must be of type null"),
    ],
)  # fmt: skip
async def test_a_violation_has_a_pointer_and_does_not_quote_the_value(
    renderer: Renderer, schema: dict[str, Any], payload: JsonValue, pointer: str, detail: str
) -> None:
    assert await check_schema(renderer, schema) == []
    found = await violations(renderer, schema, payload)
    assert found == [SchemaProblem(pointer=pointer, detail=detail)]
    assert not any(QUOTE in problem.detail or "41111" in problem.detail for problem in found)


async def test_all_violations_of_a_payload_are_reported(renderer: Renderer) -> None:
    schema: dict[str, Any] = {"required": ["a", "b"], "properties": {"c": {"type": "string"}}}
    assert {problem.pointer for problem in await violations(renderer, schema, {"c": 1})} == {"/a", "/b", "/c"}


async def test_a_valid_payload_has_none(renderer: Renderer) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    assert await violations(renderer, schema, {"a": 1, "b": 2}) == []


@pytest.mark.parametrize("payload", [{}, {"a": [1, None]}, 7, None, "x"])
async def test_an_empty_schema_allows_anything(renderer: Renderer, payload: JsonValue) -> None:
    assert await check_schema(renderer, {}) == []
    assert await violations(renderer, {}, payload) == []


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


def doubling(times: int) -> dict[str, Any]:
    steps: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(times)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, f"d{times}": {"type": "string"}}}


def sideways(width: int) -> dict[str, Any]:
    return {"allOf": [{"$ref": "#/$defs/a"} for _ in range(width)], "$defs": {"a": {"enum": [[n] for n in range(99)]}}}


@pytest.mark.parametrize(
    ("schema", "pointer", "detail"),
    [
        ({"type": "strin"}, "/type", "is not valid JSON Schema (draft 2020-12): must be one of array, boolean, "),
        ({"required": "a"}, "/required", "is not valid JSON Schema (draft 2020-12): must be of type array"),
        (
            {"properties": {"a": {"minLength": -1}}},
            "/properties/a/minLength",
            "JSON Schema (draft 2020-12): must be at",
        ),
        ({"pattern": "("}, "/pattern", "is not valid JSON Schema (draft 2020-12): must be a valid regex"),
        ({"$ref": "http://x.test/y"}, "/$ref", "must point into this schema: nothing is fetched"),
        ({"items": {"$ref": "file:///etc/passwd"}}, "/items/$ref", "must point into this schema"),
        ({"$ref": "other.json"}, "/$ref", "must point into this schema"),
        ({"$ref": "#/$defs/none"}, "/$ref", "points to nothing in this schema"),
        ({"properties": {"a": {"$ref": "#"}}}, "/properties/a/$ref", "must not refer to itself"),
        ({"$dynamicRef": "http://x.test/y#a"}, "/$dynamicRef", "is not supported here"),
        ({"$defs": {"a": {"$id": "http://x.test/"}}}, "/$defs/a/$id", "is not supported here"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema", "must be https://json-schema.org"),
        ({"description": "x" * 70_000}, "", "is longer than 65536 characters"),
        (nested(3000), "", "is not plain JSON or is nested too deeply"),
        (nested(40), "/properties/a/properties", "is nested deeper than 32 levels"),
        (doubling(24), "", "is nested deeper than 32 levels"),
        (doubling(7) | {"allOf": [doubling(7)] * 20}, "", "needs more than 5000 evaluations"),
        (sideways(100), "/allOf", "needs more than 5000 evaluations"),
        ({"const": {1, 2}}, "", "is not plain JSON"),
    ],
)
async def test_a_bad_schema_is_refused(renderer: Renderer, schema: dict[str, Any], pointer: str, detail: str) -> None:
    (problem,) = await check_schema(renderer, schema)
    assert problem.pointer.startswith(pointer)
    assert detail in problem.detail


async def test_a_schema_that_was_never_checked_cannot_fetch(renderer: Renderer) -> None:
    reference = {"$ref": "http://127.0.0.1:1/y"}
    (problem,) = await violations(renderer, reference, {})
    assert "nothing is fetched" in problem.detail
    unchecked = BoundedSchema(text=json.dumps(reference), cost=1)
    assert isinstance(await renderer.check_payloads(unchecked, ["{}"]), RenderFailure)


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://x.test/a", "type": "object"},
        {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}},
        {"properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "null"}}},
        {"$defs": {"a/b~": {"type": "null"}}, "$ref": "#/$defs/a~1b~0"},
    ],
)
async def test_an_ordinary_schema_is_accepted(renderer: Renderer, schema: dict[str, Any]) -> None:
    assert await check_schema(renderer, schema) == []


@pytest.mark.parametrize("pattern", ["(a+)+$", "(?=a)(a+)+$", r"(a|a?)+\1$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
async def test_a_pattern_cannot_hang(renderer: Renderer, pattern: str) -> None:
    schema = {"pattern": pattern}
    assert await check_schema(renderer, schema) == []
    begun = time.monotonic()
    problems = await violations(renderer, schema, "a" * 5000 + "!")
    assert [problem.detail for problem in problems] == ["must match the pattern"]
    assert time.monotonic() - begun < 1


async def test_a_large_invalid_payload_is_checked_quickly(renderer: Renderer) -> None:
    begun = time.monotonic()
    found = await violations(renderer, {"items": {"type": "string"}}, list(range(100_000)))
    assert found == [SchemaProblem(pointer="/0", detail="must be of type string")]
    assert time.monotonic() - begun < 10  # 0.05 s


async def test_the_number_of_problems_is_bounded(renderer: Renderer) -> None:
    assert len(await violations(renderer, {"items": {"type": "string"}}, list(range(200)))) == 50
    closed = {"additionalProperties": False, "properties": {}}
    assert len(await violations(renderer, closed, {str(n): n for n in range(200)})) == 50


async def test_order_and_identity_of_a_schema_do_not_matter(renderer: Renderer) -> None:
    schema = {"type": "object", "required": ["a"]}
    again = json.loads('{"required": ["a"], "type": "object"}')
    assert await violations(renderer, schema, {}) == await violations(renderer, again, {}) != []
