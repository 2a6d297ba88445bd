"""Checks payloads against the JSON Schema of a template."""

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NoReturn

import jsonschema_rs

from rendering.messages import JSON
from rendering.schema_bounds import SchemaProblem, Unbounded, canonical, check_cost, pointer

PROBLEM_LIMIT = 50
LARGE_PAYLOAD = 16 << 10
DRAFT = "https://json-schema.org/draft/2020-12/schema"
NO_SCHEMA = "is not valid JSON Schema (draft 2020-12)"
_SHOWN = 200

DETAILS = {
    "additionalProperties": "is not a declared property",
    "anyOf": "must match at least one of the allowed forms",
    "const": "must be {expected_value}",
    "contains": "must contain a matching item",
    "enum": "must be one of {options}",
    "exclusiveMaximum": "must be less than {limit}",
    "exclusiveMinimum": "must be greater than {limit}",
    "falseSchema": "is not allowed",
    "format": "must be a valid {format}",
    "maxItems": "has more than {limit} items",
    "maxLength": "is longer than {limit} characters",
    "maxProperties": "has more than {limit} properties",
    "maximum": "must be at most {limit}",
    "minItems": "has fewer than {limit} items",
    "minLength": "is shorter than {limit} characters",
    "minProperties": "has fewer than {limit} properties",
    "minimum": "must be at least {limit}",
    "multipleOf": "must be a multiple of {multiple_of}",
    "not": "has a form that is not allowed",
    "oneOf": "must match exactly one of the allowed forms",
    "pattern": "must match the pattern",
    "propertyNames": "has a property with a name that is not allowed",
    "required": "is required",
    "unevaluatedProperties": "is not a declared property",
    "unevaluatedItems": "has items that are not declared",
    "uniqueItems": "must not hold the same item twice",
}


def check_schema(schema: dict[str, Any]) -> list[SchemaProblem]:
    """Draft 2020-12, without remote references; `{}` is valid and allows anything."""
    try:
        text = canonical(schema)
        check_cost(schema)
    except Unbounded as error:
        return [error.problem]
    if schema.get("$schema", DRAFT) != DRAFT:
        return [SchemaProblem(pointer="/$schema", detail=f"must be {DRAFT} or absent")]
    try:
        _validator(text)
    except jsonschema_rs.ValidationError as error:
        return [SchemaProblem(pointer=pointer(error.instance_path), detail=f"{NO_SCHEMA}: {_why(error)}")]
    except ValueError:
        return [SchemaProblem(pointer="", detail=NO_SCHEMA)]
    return []


def _why(error: jsonschema_rs.ValidationError) -> str:
    """In terms of the schema of schemas. Of what may have several forms, the first: for `type`, one of the words."""
    known = error.kind.as_dict()
    if error.kind.name == "anyOf":
        return _why(known["context"][0][0])
    return _detail(error.kind.name, known)


def violations(schema: dict[str, Any], payload: JSON) -> list[SchemaProblem]:
    """At most 50, none if valid. The schema has passed `check_schema`; another one raises ValueError."""
    try:
        validator = _validator(canonical(schema))
    except Unbounded as error:
        raise ValueError(error.problem.detail) from None
    if validator.is_valid(payload):
        return []
    # All errors are collected at once, 12 µs each: a large payload gets the first one only.
    errors = validator.iter_errors(payload) if len(json.dumps(payload)) <= LARGE_PAYLOAD else _first(validator, payload)
    return [problem for error in islice(errors, PROBLEM_LIMIT) for problem in _problems(error)][:PROBLEM_LIMIT]


@lru_cache(maxsize=256)
def _validator(text: str) -> jsonschema_rs.Draft202012Validator:
    # The default retriever would fetch a `$ref` from the network and from files.
    return jsonschema_rs.Draft202012Validator(json.loads(text), retriever=_refuse, validate_formats=True)


def _first(validator: jsonschema_rs.Draft202012Validator, payload: JSON) -> Iterator[jsonschema_rs.ValidationError]:
    try:
        validator.validate(payload)
    except jsonschema_rs.ValidationError as error:
        yield error


def _refuse(uri: str) -> NoReturn:
    raise ValueError("remote references are not followed")


def _problems(error: jsonschema_rs.ValidationError) -> list[SchemaProblem]:
    known = error.kind.as_dict()
    detail = _detail(error.kind.name, known)
    at = error.instance_path
    if error.kind.name == "required":
        return [SchemaProblem(pointer=pointer([*at, known["property"]]), detail=detail)]
    if error.schema_path[-1:] == ["additionalProperties"] and error.kind.name == "falseSchema":
        detail = "has properties that are not declared"  # which ones, jsonschema_rs says only beside `properties`
    if error.kind.name in ("additionalProperties", "unevaluatedProperties"):
        return [SchemaProblem(pointer=pointer([*at, name]), detail=detail) for name in known["unexpected"]]
    return [SchemaProblem(pointer=pointer(at), detail=detail)]


def _detail(keyword: str, known: dict[str, Any]) -> str:
    """jsonschema_rs's own messages quote the payload, so only what stands in the schema is used."""
    if keyword == "type":
        return f"must be of type {' or '.join(known['types'])}"
    template = DETAILS.get(keyword, "does not fit the schema")
    shown = {name: _shown(value) for name, value in known.items() if f"{{{name}}}" in template}
    return template.format(**shown)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        text = ", ".join(_shown(each) for each in value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
