"""Check that tests with shared fixtures run in one process of a parallel run."""

import pytest

from tests.code.tree import ROOT
from tests.scheduling import UNITS, unit_of

_seen: list[int] = []


@pytest.mark.parametrize("number", range(6))
def test_the_tests_of_a_module_run_in_one_process(request: pytest.FixtureRequest, number: int) -> None:
    _seen.append(number)
    here = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    selected = [item.callspec.params["number"] for item in here if hasattr(item, "callspec")]
    assert _seen == selected[: len(_seen)]


def test_modules_with_a_shared_fixture_are_one_unit() -> None:
    assert unit_of("tests/stories/test_time_skipping.py::test_one[a::b]") == unit_of(
        "tests/testing/test_clock.py::test_two"
    )
    assert unit_of("tests/attacks/test_harness.py::test_one") == unit_of(
        "tests/attacks/test_schema_attacks.py::test_two"
    )
    assert unit_of("tests/stories/test_gates.py::TestAlone::test_one") == "tests/stories/test_gates.py"


def test_every_path_that_shares_a_fixture_exists() -> None:
    assert [path for path in UNITS if not (ROOT / path).exists()] == []
