"""Test how the bodies of callbacks are parsed, before and after their signature is verified."""

import pytest

from providers.base import UnreadableReceipt, read_form, read_json


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", []),
        (b"a=1&b=&a=2", [("a", "1"), ("b", ""), ("a", "2")]),
        (b"a=%C3%BC+%26", [("a", "ü &")]),
        (b"a=\xff&b=%FF", [("a", "\ufffd"), ("b", "\ufffd")]),
        (b"\xff", [("\ufffd", "")]),
        (b"a=%00", [("a", "\x00")]),
    ],
)
def test_a_form_of_any_bytes_has_fields(body: bytes, fields: list[tuple[str, str]]) -> None:
    assert read_form(body) == fields


@pytest.mark.parametrize("body", [b"", b"\xff", b"{", b"[NaN]", b'"\\ud800"', b"[" * 100_000])
def test_json_that_cannot_be_stored_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableReceipt):
        read_json(body)
