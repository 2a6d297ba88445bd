"""Prove small payloads valid against plain schemas, without a child process.

A call of a child costs more than the rest of accepting a send. The child checks every payload that is not proved here.
"""

from collections.abc import Callable
from typing import Any

from domain.json_types import JsonValue

# Work, as counted by `schema_bounds`. More would block the event loop for longer than a call of the child.
SIMPLE_WORK_LIMIT = 1_000
# Larger integers are not exact in every JSON parser.
MAX_EXACT_INTEGER = 2**53

ANNOTATION_KEYWORDS = frozenset(
    ("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
)
TYPE_CHECKS: dict[str, Callable[[JsonValue], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: _is_integer(value),
    "number": lambda value: isinstance(value, float) or _is_integer(value),
}


def is_proven_valid(schema: Any, value: JsonValue) -> bool:
    """Return whether the value is certainly valid. False: it is invalid, or the schema is not supported here."""
    if isinstance(schema, bool):
        return schema
    return isinstance(schema, dict) and all(
        keyword in ANNOTATION_KEYWORDS or (keyword in PROVERS and PROVERS[keyword](schema, value)) for keyword in schema
    )


def _is_integer(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_EXACT_INTEGER


def _proves_type(schema: dict[str, Any], value: JsonValue) -> bool:
    given = schema["type"]
    names = given if isinstance(given, list) else [given]
    return any(name in TYPE_CHECKS and TYPE_CHECKS[name](value) for name in names)


def _proves_properties(schema: dict[str, Any], value: JsonValue) -> bool:
    if not isinstance(value, dict):
        return True
    return all(
        is_proven_valid(subschema, value[name]) for name, subschema in schema["properties"].items() if name in value
    )


def _proves_required(schema: dict[str, Any], value: JsonValue) -> bool:
    return not isinstance(value, dict) or all(name in value for name in schema["required"])


def _proves_additional(schema: dict[str, Any], value: JsonValue) -> bool:
    if not isinstance(value, dict):
        return True
    known, rest = schema.get("properties", {}), schema["additionalProperties"]
    return all(is_proven_valid(rest, member) for name, member in value.items() if name not in known)


def _proves_items(schema: dict[str, Any], value: JsonValue) -> bool:
    return not isinstance(value, list) or all(is_proven_valid(schema["items"], item) for item in value)


def _proves_min_length(schema: dict[str, Any], value: JsonValue) -> bool:
    return not isinstance(value, str) or len(value) >= schema["minLength"]


def _proves_max_length(schema: dict[str, Any], value: JsonValue) -> bool:
    return not isinstance(value, str) or len(value) <= schema["maxLength"]


def _proves_enum(schema: dict[str, Any], value: JsonValue) -> bool:
    """Check texts only: `1`, `1.0` and `true` are equal in Python."""
    return isinstance(value, str) and value in schema["enum"]


PROVERS: dict[str, Callable[[dict[str, Any], JsonValue], bool]] = {
    "type": _proves_type,
    "properties": _proves_properties,
    "required": _proves_required,
    "additionalProperties": _proves_additional,
    "items": _proves_items,
    "minLength": _proves_min_length,
    "maxLength": _proves_max_length,
    "enum": _proves_enum,
}
