"""Test the one clock of this process, which tests move."""

from datetime import UTC, datetime, timedelta

import pytest

from domain import clock


def test_the_clock_shows_the_machines_time() -> None:
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=1)


def test_the_clock_is_ahead_by_the_skipped_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_offset", timedelta())
    clock.set_offset(timedelta(days=3))
    ahead = clock.now() - datetime.now(UTC)
    assert timedelta(days=3) - timedelta(seconds=1) < ahead <= timedelta(days=3)
