"""Test the cache of compiled schemas in this process; `test_fairness` tests that the child uses it."""

import json
from typing import Any

import pytest

from rendering import validators
from rendering.failures import SCHEMA_TOO_LARGE
from rendering.messages import PayloadCheck, RenderFailure, SchemaCheck
from rendering.validators import BYTES_PER_CHARACTER, ValidatorCache


def schema(number: int, **more: Any) -> str:
    return json.dumps({"title": str(number), "required": ["a"], **more})


def kept(cache: ValidatorCache) -> list[tuple[str | None, str]]:
    return list(cache._compiled)


@pytest.fixture
def room_for_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validators, "address_space", lambda: 0)
    each = BYTES_PER_CHARACTER * len(schema(0))
    monkeypatch.setattr(validators, "TENANT_LIMIT", 2 * each)
    monkeypatch.setattr(validators, "CACHE_LIMIT", 3 * each)


@pytest.mark.usefixtures("room_for_three")
def test_a_tenant_displaces_its_own_schemas_first() -> None:
    cache = ValidatorCache()
    for tenant, number in (("b", 1), ("a", 1), ("a", 2), ("a", 3)):
        assert cache.check_schema(tenant, schema(number)) == SchemaCheck(problems=())
    assert kept(cache) == [("b", schema(1)), ("a", schema(2)), ("a", schema(3))]


@pytest.mark.usefixtures("room_for_three")
def test_the_least_recently_used_schema_of_all_is_displaced() -> None:
    cache = ValidatorCache()
    for tenant, number in (("a", 1), ("b", 1), ("c", 1), ("a", 1), ("d", 1)):
        cache.check_schema(tenant, schema(number))
    assert kept(cache) == [("c", schema(1)), ("a", schema(1)), ("d", schema(1))]


def test_growth_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([0, validators.SCHEMA_LIMIT + 1, 0, validators.SCHEMA_LIMIT])
    monkeypatch.setattr(validators, "address_space", lambda: next(sizes))
    cache = ValidatorCache()
    assert cache.check_schema("a", schema(1)) == RenderFailure(reason=SCHEMA_TOO_LARGE)
    assert cache.check_schema("a", schema(1)) == SchemaCheck(problems=())
    assert kept(cache) == []  # more than one tenant may keep


def test_a_payload_beyond_the_details_of_a_call_has_its_first_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validators, "DETAILED_PROBLEMS", 3)
    check = ValidatorCache().check_payloads(
        "a", json.dumps({"required": ["a", "b"]}), 1, [{}, {"a": 1, "b": 2}, {}, {}]
    )
    assert isinstance(check, PayloadCheck)
    assert [len(problems) for problems in check.problems] == [2, 0, 2, 1]


def test_an_object_with_many_invalid_names_has_one_violation() -> None:
    check = ValidatorCache().check_payloads(
        "a", '{"propertyNames": {"maxLength": 1}}', 3, [{f"k{n}": n for n in range(9999)}]
    )
    assert isinstance(check, PayloadCheck)
    assert len(check.problems[0]) == 1
