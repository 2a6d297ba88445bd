"""What a validator reports as problems that are safe to show; used in the child only (`validators`)."""

import json
from typing import Any

import jsonschema_rs

from rendering.messages import SchemaProblem
from rendering.schema_costs import pointer

NO_SCHEMA = "is not valid JSON Schema (draft 2020-12)"
# Pointers quote names of the payload, and a call has many payloads.
POINTER_LIMIT = 300
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


def problem_of_schema(error: jsonschema_rs.ValidationError) -> SchemaProblem:
    return SchemaProblem(pointer=pointer(error.instance_path), detail=f"{NO_SCHEMA}: {_why(error)}")


def _why(error: jsonschema_rs.ValidationError) -> str:
    """In terms of the schema of schemas. Of what may have several forms, the first: for `type`, one of the words."""
    known = error.kind.as_dict()
    if error.kind.name == "anyOf":
        return _why(known["context"][0][0])
    return _detail(error.kind.name, known)


def problems_of(error: jsonschema_rs.ValidationError) -> list[SchemaProblem]:
    known = error.kind.as_dict()
    detail = _detail(error.kind.name, known)
    at = error.instance_path
    if error.kind.name == "required":
        return [SchemaProblem(pointer=_shortened([*at, known["property"]]), detail=detail)]
    if error.schema_path[-1:] == ["additionalProperties"] and error.kind.name == "falseSchema":
        detail = "has properties that are not declared"  # which ones, jsonschema_rs says only beside `properties`
    if error.kind.name in ("additionalProperties", "unevaluatedProperties"):
        return [SchemaProblem(pointer=_shortened([*at, name]), detail=detail) for name in known["unexpected"]]
    return [SchemaProblem(pointer=_shortened(at), detail=detail)]


def _shortened(path: list[str | int]) -> str:
    text = pointer(path)
    return text if len(text) <= POINTER_LIMIT else text[:POINTER_LIMIT] + "…"


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
