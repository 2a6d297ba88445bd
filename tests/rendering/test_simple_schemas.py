"""Test that payloads proved valid without a child are valid for the child's library."""

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rendering.simple_schemas import COMPILERS, TYPE_CHECKS, compile_proof

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab")
NAMES = st.sampled_from(("a", "b", "c"))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner), max_leaves=8)


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    types = st.sampled_from(sorted(TYPE_CHECKS))
    return st.fixed_dictionaries(
        {},
        optional={
            "type": types | st.lists(types, min_size=1, unique=True),
            "properties": st.dictionaries(NAMES, inner),
            "required": st.lists(NAMES, unique=True),
            "additionalProperties": inner,
            "items": inner,
            "minLength": st.integers(0, 3),
            "maxLength": st.integers(0, 3),
            "enum": st.lists(SCALARS, min_size=1, max_size=3),
            "description": st.just("text"),
            "minimum": st.integers(),
        },
    )


@given(st.recursive(st.booleans(), schemas, max_leaves=6), VALUES)
def test_a_proved_value_is_valid_for_the_library(schema: Any, value: Any) -> None:
    if compile_proof(schema)(json.loads(json.dumps(value))):
        assert jsonschema_rs.validator_for(schema).is_valid(value)


ORDER = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 10},
        "lines": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}


def test_an_ordinary_payload_is_proved() -> None:
    assert compile_proof(ORDER)({"name": "Ada", "lines": [1, 2]})
    assert set(COMPILERS) >= {"type", "properties", "required", "additionalProperties", "items"}


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"name": 7},
        {"name": "longer than ten"},
        {"name": "Ada", "lines": [True]},
        {"name": "Ada", "lines": [2**60]},
        {"name": "Ada", "more": 1},
        ["Ada"],
    ],
)
def test_an_invalid_or_uncertain_payload_is_left_to_the_child(payload: Any) -> None:
    assert not compile_proof(ORDER)(payload)


def test_an_unknown_keyword_is_left_to_the_child() -> None:
    assert not compile_proof({"type": "object", "minProperties": 0})({})
