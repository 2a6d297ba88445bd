"""Test that vendor values become storable, and that equal ids stay equal."""

import json
from typing import Any

import pytest

from domain import vendor_values
from domain.vendor_values import clean_cost, clean_id, clean_raw, clean_reason, clean_response, clean_retry_after

LONG = "m" * 4_000


@pytest.mark.parametrize(
    ("id", "cleaned"),
    [(None, None), ("", None), ("SM1", "SM1"), (17, "17"), ("a\x00b", "a\ufffdb"), ("a\ud800\n", "a\ufffd\ufffd")],
)
def test_an_id_has_nothing_that_cannot_be_stored(id: object, cleaned: str | None) -> None:
    assert clean_id(id) == cleaned


def test_long_ids_are_capped_and_stay_different() -> None:
    cleaned = clean_id(LONG + "1")
    assert cleaned is not None
    assert len(cleaned) == vendor_values.ID_LIMIT
    assert cleaned.startswith("mmm")
    assert cleaned == clean_id(LONG + "1") != clean_id(LONG + "2")
    assert clean_id(cleaned) == cleaned


def test_a_reason_is_one_short_line() -> None:
    assert clean_reason("no\nway\x1b[31m" + LONG) == ("no\ufffdway\ufffd[31m" + LONG)[:200]


@pytest.mark.parametrize(
    ("cost", "cleaned"),
    [
        (None, None),
        ("0.0075", "0.0075"),
        ("100", "100"),
        ("-1.5", "-1.5"),
        ("NaN", None),
        ("Infinity", None),
        ("1e999", None),
        ("999999999", None),
        ("1e-30", "0"),
        ("a lot", None),
        ("9" * 10_000, None),
    ],
)
def test_a_cost_fits_its_column_or_is_unknown(cost: str | None, cleaned: str | None) -> None:
    assert clean_cost(cost) == cleaned


@pytest.mark.parametrize(
    ("seconds", "cleaned"),
    [(None, None), (1.5, 1.5), (-3, 0), (1e9, 86_400), (float("nan"), None), (float("inf"), None)],
)
def test_a_delay_is_a_time(seconds: float | None, cleaned: float | None) -> None:
    assert clean_retry_after(seconds) == cleaned


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = {"deeper": [value]}
    return value


@pytest.mark.parametrize(
    "response",
    [
        {"text": "x" * 10**6, "list": list(range(10**5))},
        {f"key {number}": "x" * 1_000 for number in range(1_000)},
        {"deep": deep(5_000)},
        {"object": object(), "bytes": b"x", "int": 10**5_000, "float": float("nan")},
        {"\x00\ud800" * 500: "\x00\ud800"},
    ],
)
def test_evidence_is_small_json_that_can_be_stored(response: dict[str, Any]) -> None:
    text = json.dumps(clean_response(response), ensure_ascii=False, allow_nan=False)
    assert len(text.encode()) <= 4 * vendor_values.RESPONSE_LIMIT
    assert "\\u0000" not in text


def test_ordinary_evidence_stays_as_it_is() -> None:
    response = {"status": 202, "errors": [{"field": "to", "ok": False}], "price": 0.5, "nothing": None}
    assert clean_response(response) == response


def test_a_raw_receipt_keeps_all_that_can_be_stored() -> None:
    raw = {"long": LONG, "nul": "a\x00", "many": list(range(1_000)), "huge": float("inf"), "no": None}
    assert clean_raw(raw) == {**raw, "nul": "a\ufffd", "huge": "inf"}
    assert clean_raw(deep(400)) is not None
