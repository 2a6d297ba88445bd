"""Test that a cursor restores its position, and that other texts are refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import pytest

from domain.cursors import Cursor, decode_cursor, encode_cursor, join_texts, parse_cursor, parse_id, split_texts

PLACE = Cursor(datetime(2026, 11, 22, 16, 5, 0, 123456, tzinfo=UTC), UUID("01a2041c-2825-70ac-9106-1b4b468e858e"))


def test_a_place_survives_as_text() -> None:
    assert parse_cursor(str(PLACE)) == PLACE
    assert is_place(str(PLACE))


def is_place(text: str, parse: Callable[[str], object] = parse_cursor) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


NO_PLACES = ["", "x", str(PLACE.id), "2026-11-22T16:05:00+00:00", f"2026-11-22T16:05:00 {PLACE.id}"]
NO_PLACES += [f"0001-01-01T00:00:00+23:59 {PLACE.id}", f"9999-12-31T23:59:59-23:59 {PLACE.id}"]
NO_PLACES += [f"20261122T160500Z {PLACE.id}", f"2026-11-22T17:05:00+01:00 {PLACE.id}", f"infinity {PLACE.id}"]
NO_PLACES += [
    str(PLACE).upper(),
    str(PLACE) + " ",
    str(PLACE).replace(str(PLACE.id), PLACE.id.hex),
]


@pytest.mark.parametrize("text", NO_PLACES)
def test_an_invalid_cursor_is_refused(text: str) -> None:
    assert not is_place(text)


def test_ids_and_texts_survive_as_text() -> None:
    assert parse_id(str(PLACE.id)) == PLACE.id
    assert split_texts(join_texts(7, "a", ""), 3) == ["7", "a", ""]


@pytest.mark.parametrize("text", ["", PLACE.id.hex, str(PLACE.id).upper(), f"{{{PLACE.id}}}"])
def test_an_id_in_another_spelling_is_refused(text: str) -> None:
    assert not is_place(text, parse_id)


def test_another_number_of_texts_is_refused() -> None:
    assert not is_place(join_texts("a", "b"), partial(split_texts, count=3))


@pytest.mark.parametrize(
    "edited", [encode_cursor("a") + "=", encode_cursor("a")[:-1] + "R", encode_cursor("\x00"), "é"]
)
def test_another_encoding_is_refused(edited: str) -> None:
    assert decode_cursor(encode_cursor("a")) == "a"
    assert not is_place(edited, decode_cursor)
