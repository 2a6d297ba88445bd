"""Convert a validator's errors to problems that are safe to show. Used in the child only (`validators`)."""

import json
from typing import Any

import jsonschema_rs

from rendering.messages import SchemaProblem
from rendering.schema_costs import pointer

INVALID_SCHEMA = "is not valid JSON Schema (draft 2020-12)"
# Pointers quote names of the payload, and a call has many payloads.
POINTER_LIMIT = 300
_VALUE_LIMIT = 200

DETAIL_TEMPLATES = {
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
    return SchemaProblem(pointer=pointer(error.instance_path), detail=f"{INVALID_SCHEMA}: {_explain(error)}")


def _explain(error: jsonschema_rs.ValidationError) -> str:
    """Explain an error of the meta-schema. Of several possible forms, use the first: for `type`, one of the words."""
    parameters = error.kind.as_dict()
    if error.kind.name == "anyOf":
        return _explain(parameters["context"][0][0])
    return _format_detail(error.kind.name, parameters)


def problems_of(error: jsonschema_rs.ValidationError) -> list[SchemaProblem]:
    parameters = error.kind.as_dict()
    detail = _format_detail(error.kind.name, parameters)
    at = error.instance_path
    if error.kind.name == "required":
        return [SchemaProblem(pointer=_format_pointer([*at, parameters["property"]]), detail=detail)]
    if error.schema_path[-1:] == ["additionalProperties"] and error.kind.name == "falseSchema":
        detail = "has properties that are not declared"  # jsonschema_rs names them only for `properties`
    if error.kind.name in ("additionalProperties", "unevaluatedProperties"):
        return [SchemaProblem(pointer=_format_pointer([*at, name]), detail=detail) for name in parameters["unexpected"]]
    return [SchemaProblem(pointer=_format_pointer(at), detail=detail)]


def _format_pointer(path: list[str | int]) -> str:
    text = pointer(path)
    return text if len(text) <= POINTER_LIMIT else text[:POINTER_LIMIT] + "…"


def _format_detail(keyword: str, parameters: dict[str, Any]) -> str:
    """Format the detail from the schema only: jsonschema_rs's own messages quote the payload."""
    if keyword == "type":
        return f"must be of type {' or '.join(parameters['types'])}"
    template = DETAIL_TEMPLATES.get(keyword, "does not fit the schema")
    shown = {name: _format_value(value) for name, value in parameters.items() if f"{{{name}}}" in template}
    return template.format(**shown)


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        text = ", ".join(_format_value(each) for each in value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _VALUE_LIMIT else text[:_VALUE_LIMIT] + "…"
