"""Check that every list and object of a request has a maximum size, so that its bytes are not the only limit of its
work."""

import importlib
from collections.abc import Iterator

import pytest

from domain.json_types import Json

# Any JSON, which the limit of values per body bounds.
FREE = {
    "attributes",
    "payload",
    "recipient",
    "variables_schema",
}
# Lists whose repetitions are dropped when they are read.
DEDUPLICATED = {"days"}


def requests(document: Json) -> Iterator[tuple[str, Json]]:
    """Yield schemas of bodies and parameters, with a name that shows where they are."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            for media in operation.get("requestBody", {}).get("content", {}).values():
                yield name, media["schema"]
            yield from ((f"{name} ?{each['name']}", each["schema"]) for each in operation.get("parameters", []))


def parts(name: str, schema: Json, document: Json, above: frozenset[str] = frozenset()) -> Iterator[tuple[str, Json]]:
    """Yield the schema and all below it; references are followed once per branch."""
    reference = schema.get("$ref")
    if reference is not None:
        if reference not in above:
            target = document["components"]["schemas"][reference.rpartition("/")[2]]
            yield from parts(name, target, document, above | {reference})
        return
    yield name, schema
    for field, below in schema.get("properties", {}).items():
        yield from parts(f"{name}/{field}", below, document, above)
    branches = [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("allOf", [])]
    members = [schema.get("items"), schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    for below in (*branches, *(member for member in members if isinstance(member, dict))):
        yield from parts(name, below, document, above)


def resolved(schema: Json, document: Json) -> Json:
    reference = schema.get("$ref")
    return document["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema


def is_unbounded_object(schema: Json) -> bool:
    """Return whether callers choose the names and the number of its members."""
    chosen = "properties" not in schema and schema.get("additionalProperties") is not False
    return schema.get("type") == "object" and chosen and "maxProperties" not in schema


def faults(document: Json) -> Iterator[str]:
    for request, root in requests(document):
        for name, schema in parts(request, root, document):
            field = name.rpartition("/")[2]
            if schema.get("type") == "array":
                yield from _faults_of_list(name, field, schema, document)
            if is_unbounded_object(schema) and field not in FREE:
                yield f"{name}: an object without maxProperties"
            forms = [resolved(form, document) for form in (*schema.get("anyOf", []), *schema.get("oneOf", []))]
            if sum(form.get("type") in ("array", "object") for form in forms) > 1:
                yield f"{name}: a union whose forms are all checked"


def _faults_of_list(name: str, field: str, schema: Json, document: Json) -> Iterator[str]:
    if "maxItems" not in schema:
        yield f"{name}: a list without maxItems"
    items = resolved(schema.get("items", {}), document)
    if "enum" in items and not schema.get("uniqueItems") and field not in DEDUPLICATED:
        yield f"{name}: a list of words that may repeat"


def test_lists_and_objects_in_requests_have_a_largest_size() -> None:
    document = importlib.import_module("api.app").create_app().openapi()
    assert len(list(requests(document))) > 100
    assert list(faults(document)) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "maxItems": 7, "items": {"enum": ["a", "b"]}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "patternProperties": {"^a": {"type": "string"}}},
        {"anyOf": [{"type": "null"}, {"type": "array", "items": {}}]},
        {"anyOf": [{"type": "object", "maxProperties": 1}, {"type": "array", "maxItems": 1}]},
        {"$ref": "#/components/schemas/Body"},
    ],
)
def test_a_request_without_a_bound_is_found(schema: Json) -> None:
    document = {
        "paths": {"/things": {"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}}},
        "components": {"schemas": {"Body": {"type": "object", "properties": {"list": {"type": "array"}}}}},
    }
    assert len(list(faults(document))) == 1
