"""Check that leaks are found."""

from dataclasses import replace
from pathlib import Path

import pytest

from faults.resource_leaks import ResourceUsage, contains, leaks_in, resource_growth
from faults.type_specs import CANARY, PHONES, new_recipient

NOW = ResourceUsage(memory={"api": 200.0}, files={"api": 40}, connections=20)


@pytest.mark.parametrize("name", ["temporal.db", "temporal.db-wal", "logs/worker-1.log", "logs/postgres.log"])
@pytest.mark.parametrize("what", ["email", "phone", "webhook_url"])
def test_an_address_in_a_log_or_in_temporals_store_is_found(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "temporal.db").write_bytes(b"\0" * 5000)
    (tmp_path / name).write_bytes(b"\0" * 5000 + new_recipient(1, 7, "")[what].encode() + b"\0")
    assert [leak.partition(":")[0] for leak in leaks_in(tmp_path)] == [Path(name).name]


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "temporal.db-wal"
    path.touch()
    assert not contains(path, CANARY.encode())
    assert not contains(path, PHONES.encode())


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (NOW, 0),
        (replace(NOW, memory={"api": 260.0}), 0),
        (replace(NOW, memory={"api": 300.0}), 1),
        (replace(NOW, files={"api": 90}), 1),
        (replace(NOW, connections=100), 1),
    ],
)
def test_intended_resources_are_no_growth(after: ResourceUsage, found: int) -> None:
    assert len(resource_growth(NOW, after)) == found
