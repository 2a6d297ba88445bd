"""Proves small payloads valid against plain schemas without a child process; called before one is asked.

A child costs more than the rest of accepting a send. It remains the only judge of what is not proved here.
"""

from collections.abc import Callable
from typing import Any

from rendering.messages import JSON

# Work, as `schema_bounds` counts it. More would hold up the event loop for longer than the call of a child does.
SIMPLE_WORK = 1_000
# Larger integers are not exact in every reader of JSON.
LARGEST_EXACT = 2**53

ANNOTATIONS = frozenset(
    ("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
)
TYPES: dict[str, Callable[[JSON], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: _is_integer(value),
    "number": lambda value: isinstance(value, float) or _is_integer(value),
}


def is_proved(schema: Any, value: JSON) -> bool:
    """Whether the value is certainly valid. False: it is not, or the schema is not one of those that are read here."""
    if isinstance(schema, bool):
        return schema
    return isinstance(schema, dict) and all(
        keyword in ANNOTATIONS or (keyword in PROOFS and PROOFS[keyword](schema, value)) for keyword in schema
    )


def _is_integer(value: JSON) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_EXACT


def _type(schema: dict[str, Any], value: JSON) -> bool:
    given = schema["type"]
    names = given if isinstance(given, list) else [given]
    return any(name in TYPES and TYPES[name](value) for name in names)


def _properties(schema: dict[str, Any], value: JSON) -> bool:
    if not isinstance(value, dict):
        return True
    return all(is_proved(one, value[name]) for name, one in schema["properties"].items() if name in value)


def _required(schema: dict[str, Any], value: JSON) -> bool:
    return not isinstance(value, dict) or all(name in value for name in schema["required"])


def _additional(schema: dict[str, Any], value: JSON) -> bool:
    if not isinstance(value, dict):
        return True
    known, rest = schema.get("properties", {}), schema["additionalProperties"]
    return all(is_proved(rest, member) for name, member in value.items() if name not in known)


def _items(schema: dict[str, Any], value: JSON) -> bool:
    return not isinstance(value, list) or all(is_proved(schema["items"], item) for item in value)


def _min_length(schema: dict[str, Any], value: JSON) -> bool:
    return not isinstance(value, str) or len(value) >= schema["minLength"]


def _max_length(schema: dict[str, Any], value: JSON) -> bool:
    return not isinstance(value, str) or len(value) <= schema["maxLength"]


def _enum(schema: dict[str, Any], value: JSON) -> bool:
    """Of texts only: `1`, `1.0` and `true` are equal in Python."""
    return isinstance(value, str) and value in schema["enum"]


PROOFS: dict[str, Callable[[dict[str, Any], JSON], bool]] = {
    "type": _type,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _additional,
    "items": _items,
    "minLength": _min_length,
    "maxLength": _max_length,
    "enum": _enum,
}
