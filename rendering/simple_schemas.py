"""Prove small payloads valid against plain schemas, without a child process.

A call of a child costs more than the rest of accepting a send. The child checks every payload that is not proved here.
A schema is compiled into nested functions once, because each send of a batch uses the same few schemas.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from domain.json_types import JsonValue

# Return whether a value is certainly valid. False: it is invalid, or the schema is not supported here.
Proof = Callable[[JsonValue], bool]

# Work, as counted by `schema_bounds`. More would block the event loop for longer than a call of the child.
SIMPLE_WORK_LIMIT = 1_000
# Larger integers are not exact in every JSON parser.
MAX_EXACT_INTEGER = 2**53

ANNOTATION_KEYWORDS = frozenset(
    ("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
)
TYPE_CHECKS: dict[str, Proof] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: _is_integer(value),
    "number": lambda value: isinstance(value, float) or _is_integer(value),
}


@lru_cache(maxsize=128)
def proof_of(text: str) -> Proof:
    """Return the proof of a schema by its JSON text."""
    return compile_proof(json.loads(text))


def compile_proof(schema: Any) -> Proof:
    if isinstance(schema, bool):
        return _accept if schema else _reject
    if not isinstance(schema, dict):
        return _reject
    keywords = [keyword for keyword in schema if keyword not in ANNOTATION_KEYWORDS]
    if not all(keyword in COMPILERS for keyword in keywords):
        return _reject
    return _conjunction([COMPILERS[keyword](schema) for keyword in keywords])


def _accept(_: JsonValue) -> bool:
    return True


def _reject(_: JsonValue) -> bool:
    return False


def _conjunction(proofs: list[Proof]) -> Proof:
    if len(proofs) <= 1:
        return proofs[0] if proofs else _accept

    def prove(value: JsonValue) -> bool:
        for proof in proofs:  # noqa: SIM110 - all() with a generator takes twice as long
            if not proof(value):
                return False
        return True

    return prove


def _is_integer(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_EXACT_INTEGER


def _compile_type(schema: dict[str, Any]) -> Proof:
    given = schema["type"]
    checks = [TYPE_CHECKS[name] for name in (given if isinstance(given, list) else [given]) if name in TYPE_CHECKS]
    return checks[0] if len(checks) == 1 else lambda value: any(check(value) for check in checks)


def _compile_properties(schema: dict[str, Any]) -> Proof:
    proofs = {name: compile_proof(subschema) for name, subschema in schema["properties"].items()}

    def prove(value: JsonValue) -> bool:
        if isinstance(value, dict):
            for name, member in value.items():
                if name in proofs and not proofs[name](member):
                    return False
        return True

    return prove


def _compile_required(schema: dict[str, Any]) -> Proof:
    required = frozenset(schema["required"])
    return lambda value: not isinstance(value, dict) or required <= value.keys()


def _compile_additional(schema: dict[str, Any]) -> Proof:
    known, proof = frozenset(schema.get("properties", {})), compile_proof(schema["additionalProperties"])
    return lambda value: (
        not isinstance(value, dict) or all(proof(member) for name, member in value.items() if name not in known)
    )


def _compile_items(schema: dict[str, Any]) -> Proof:
    proof = compile_proof(schema["items"])
    return lambda value: not isinstance(value, list) or all(map(proof, value))


def _compile_min_length(schema: dict[str, Any]) -> Proof:
    length = schema["minLength"]
    return lambda value: not isinstance(value, str) or len(value) >= length


def _compile_max_length(schema: dict[str, Any]) -> Proof:
    length = schema["maxLength"]
    return lambda value: not isinstance(value, str) or len(value) <= length


def _compile_enum(schema: dict[str, Any]) -> Proof:
    """Check texts only: `1`, `1.0` and `true` are equal in Python."""
    texts = frozenset(value for value in schema["enum"] if isinstance(value, str))
    return lambda value: isinstance(value, str) and value in texts


COMPILERS: dict[str, Callable[[dict[str, Any]], Proof]] = {
    "type": _compile_type,
    "properties": _compile_properties,
    "required": _compile_required,
    "additionalProperties": _compile_additional,
    "items": _compile_items,
    "minLength": _compile_min_length,
    "maxLength": _compile_max_length,
    "enum": _compile_enum,
}
