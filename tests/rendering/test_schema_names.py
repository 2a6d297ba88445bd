from typing import Any

import pytest

from rendering.messages import Inspection
from rendering.schema_bounds import BoundedSchema, bound_schema
from rendering.schema_names import find_template_warnings, list_declared_names, list_required_names


def test_declared_names_are_the_top_level_ones() -> None:
    assert list_declared_names({"properties": {"a": {"properties": {"b": {}}}, "c": {}}}) == {"a", "c"}
    assert list_declared_names({"properties": {"a": {}}, "required": ["b"]}) == {"a", "b"}
    assert list_declared_names({}) == set()


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ({}, set()),
        ({"required": ["a", "b"]}, {"a", "b"}),
        ({"properties": {"a": {"required": ["b"]}}}, set()),
        ({"properties": {"required": {"type": "string"}}}, set()),
        ({"allOf": [{"required": ["a"]}, {"allOf": [{"required": ["b"]}]}]}, {"a", "b"}),
        ({"$ref": "#/$defs/p", "$defs": {"p": {"required": ["a"]}}}, {"a"}),
        ({"allOf": [{"$ref": "#/$defs/a~1b~0"}], "$defs": {"a/b~": {"required": ["a"]}}}, {"a"}),
        ({"allOf": [True], "$ref": "#/$defs/t", "$defs": {"t": True}}, set()),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, set()),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, set()),
        ({"dependentRequired": {"a": ["b"]}}, set()),
    ],
)
def test_a_name_is_required_if_every_valid_payload_has_it(schema: dict[str, Any], names: set[str]) -> None:
    assert isinstance(bound_schema(schema), BoundedSchema)
    assert list_required_names(schema) == names


SCHEMA: dict[str, Any] = {"properties": {"name": {}, "carrier": {}}, "required": ["name"]}
TYPO = "'nmae' is used but not declared in the schema"
FAILS = ": a payload without it can fail"


@pytest.mark.parametrize(
    ("schema", "variables", "needed", "warnings"),
    [
        (SCHEMA, {"name", "carrier"}, {"name"}, []),
        (SCHEMA, {"name", "carrier", "recipient"}, {"name", "recipient"}, []),
        (SCHEMA, {"name", "carrier"}, {"name", "carrier"},
         ["'carrier' is used but not required in the schema" + FAILS]),
        (SCHEMA, {"name", "carrier", "nmae"}, {"name"}, [TYPO]),
        (SCHEMA, {"name", "carrier", "nmae"}, {"name", "nmae"}, [TYPO + FAILS]),
        (SCHEMA, {"name"}, {"name"}, ["'carrier' is declared in the schema but not used"]),
        (SCHEMA, {"carrier"}, set(), ["'name' is required in the schema but not used"]),
        ({"required": ["name"]}, set(), set(), ["'name' is required in the schema but not used"]),
        (SCHEMA | {"required": ["name", "recipient"]}, {"name", "carrier"}, {"name"}, []),
        ({}, {"anything"}, {"anything"}, []),
        ({"type": "object", "properties": {}}, {"anything"}, {"anything"}, []),
    ],
)  # fmt: skip
def test_a_template_is_compared_with_the_schema(
    schema: dict[str, Any], variables: set[str], needed: set[str], warnings: list[str]
) -> None:
    assert find_template_warnings(schema, Inspection(variables=variables, needed=needed)) == warnings


def test_warnings_are_sorted_by_name() -> None:
    warnings = find_template_warnings(SCHEMA, Inspection(variables={"b", "x", "a"}, needed={"x"}))
    assert [warning.split("'")[1] for warning in warnings] == ["a", "b", "carrier", "name", "x"]


ITEM: dict[str, Any] = {"properties": {"product": {}, "price": {}}, "required": ["product"]}


@pytest.mark.parametrize(
    ("schema", "variables", "digest", "warnings"),
    [
        (ITEM, {"items", "total"}, False, []),
        (ITEM, {"total"}, True, []),
        (ITEM, {"items", "recipient", "prize"}, True, ["'prize' is used but not declared in the schema" + FAILS]),
        (ITEM | {"properties": {"items": {}}, "required": ["items", "product"]}, {"items"}, False,
         ["'product' is required in the schema but not used"]),
    ],
)  # fmt: skip
def test_a_digest_template_gets_items_and_total_in_addition_to_its_schema(
    schema: dict[str, Any], variables: set[str], digest: bool, warnings: list[str]
) -> None:
    inspection = Inspection(variables=variables, needed=variables)
    assert find_template_warnings(schema, inspection, digest=digest) == warnings


def test_a_total_that_no_digest_gives_is_warned_of() -> None:
    inspection = Inspection(variables={"product", "price", "total"}, needed={"product", "total"})
    assert "'total' is used but not declared in the schema" + FAILS in find_template_warnings(ITEM, inspection)
