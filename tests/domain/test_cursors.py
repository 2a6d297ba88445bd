"""Test that a cursor restores its position, and that other texts are refused."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.cursors import format_cursor, parse_cursor

PLACE = (datetime(2026, 11, 22, 16, 5, 0, 123456, tzinfo=UTC), UUID("01a2041c-2825-70ac-9106-1b4b468e858e"))


def test_a_place_survives_as_text() -> None:
    assert parse_cursor(format_cursor(*PLACE)) == PLACE
    assert is_place(format_cursor(*PLACE))


def is_place(text: str) -> bool:
    try:
        parse_cursor(text)
    except ValueError:
        return False
    return True


NO_PLACES = ["", "x", str(PLACE[1]), "2026-11-22T16:05:00+00:00", f"2026-11-22T16:05:00 {PLACE[1]}"]
NO_PLACES += [f"0001-01-01T00:00:00+23:59 {PLACE[1]}", f"9999-12-31T23:59:59-23:59 {PLACE[1]}"]
NO_PLACES += [f"20261122T160500Z {PLACE[1]}", f"2026-11-22T17:05:00+01:00 {PLACE[1]}", f"infinity {PLACE[1]}"]
NO_PLACES += [
    format_cursor(*PLACE).upper(),
    format_cursor(*PLACE) + " ",
    format_cursor(*PLACE).replace(str(PLACE[1]), PLACE[1].hex),
]


@pytest.mark.parametrize("text", NO_PLACES)
def test_an_invalid_cursor_is_refused(text: str) -> None:
    assert not is_place(text)
