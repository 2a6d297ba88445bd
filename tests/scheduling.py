"""Distribute tests over the processes of pytest-xdist.

pytest-xdist 3.8 appends the names of groups to the ids of tests, which pytest 9.2 ignores: with `--dist loadgroup` each
test would be a group of its own, and each process would build the fixtures of nearly every module.
"""

from xdist.scheduler import LoadScopeScheduling

# The unit of each module that shares an expensive fixture. A key that ends with a slash is a folder.
UNITS = {
    "tests/attacks/": "attacked API",
    "tests/code/": "parsed sources",
    "tests/stories/test_sandbox_failures.py": "sandbox failures",
    "tests/stories/test_unknown_outcomes.py": "sandbox failures",
    "tests/stories/test_time_skipping.py": "skipped time",
    "tests/stories/test_long_goals.py": "skipped time",
    "tests/stories/test_dry_runs.py": "skipped time",
    "tests/stories/test_schedules.py": "skipped time",
    "tests/testing/test_clock.py": "skipped time",
    "tests/testing/test_example.py": "skipped time",
    "tests/faults/test_api_deaths.py": "shared run",
    "tests/faults/test_postgres_deaths.py": "shared run",
    "tests/faults/test_temporal_outages.py": "shared run",
    "tests/faults/test_worker_deaths.py": "shared run",
}


def unit_of(nodeid: str) -> str:
    """Return the name of a test's unit: its module, or the unit of the modules that share a fixture with it."""
    path = nodeid.partition("::")[0]
    folder = f"{path.rpartition('/')[0]}/"
    return UNITS.get(path) or UNITS.get(folder) or path


class UnitScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Run the tests of a unit in one process, so that they share their fixtures."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
