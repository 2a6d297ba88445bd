"""Check that twenty seeds have every fault, that a seed always has the same, and that the page lists all."""

import re

import pytest

from embedded.stack import CHECKOUT
from faults.__main__ import LONG, arguments, chosen, line, total
from faults.catalog import FAULTS, OUTAGES
from faults.fault_run import FaultRunResult
from faults.fault_selection import FULL_ROUND, select_faults

PAGE = CHECKOUT / "docs" / "reliability.md"


@pytest.mark.parametrize("first", [1, 21, 101])
def test_twenty_seeds_in_a_row_have_each_fault_once(first: int) -> None:
    names = [name for seed in range(first, first + FULL_ROUND) for name in select_faults(seed)]
    assert sorted(names) == sorted(FAULTS)


def test_a_seed_has_two_or_three_faults_and_always_the_same() -> None:
    assert {len(select_faults(seed)) for seed in range(1, 41)} <= {2, 3}
    assert select_faults(7) == select_faults(7) != select_faults(27)


def test_one_seed_or_one_fault_can_be_selected() -> None:
    assert chosen(arguments(["--seed", "7"])) == [(7, select_faults(7))]
    assert chosen(arguments(["--seed", "7", "--fault", "throttled"])) == [(7, ["throttled"])]
    assert [seed for seed, _ in chosen(arguments(["--seeds", "3"]))] == [1, 2, 3]


def test_the_long_run_has_every_outage_at_its_full_length() -> None:
    assert [name for _, names in chosen(arguments(["--long"])) for name in names] == sorted(OUTAGES)
    assert LONG.outage >= 120
    assert LONG.flood == 10_000


def test_every_fault_has_a_docstring_and_a_documented_row() -> None:
    assert all(inject.__doc__ for inject in FAULTS.values())
    documented = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", PAGE.read_text(), re.MULTILINE))
    assert documented == {name: str(inject.__doc__) for name, inject in FAULTS.items()}


def test_the_last_line_counts_sends_without_an_unknown_row_as_duplicates() -> None:
    good = FaultRunResult(seed=1, faults=["throttled"], accepted=10, sends=12, unknown=2, repeated=2)
    bad = FaultRunResult(
        seed=2, faults=[], accepted=5, sends=7, repeated=2, stuck=1, broken={"I3 at most one send": [{}]}
    )
    assert "accepted 10 / sends 12 / unknown 2 / duplicates 0 / stuck 0" in line(good)
    assert total([good, bad], 60).startswith("accepted 15 / sends 19 / unknown 2 / duplicates 1 / stuck 1")
    assert "3 declared repetitions" in total([good, bad], 60)
