import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import strict_json
from api.strict_json import MAX_DEPTH, VALUE_LIMIT, TooManyValues, UnreadableJson, parse

SURROGATES = st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"null", None),
        (b' {"a": [1, 2.5, true, "\xc3\xa9"]}\n', {"a": [1, 2.5, True, "é"]}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\u0000 \\\\ud800"', "\\u0000 \\ud800"),
        (b"1e308", 1e308),
        (nested(3), [[[]]]),
    ],
)
def test_valid_json_is_read(raw: bytes, value: Any) -> None:
    assert parse(raw) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[1,]", "not JSON"),
        (b'"a\nb"', "not JSON"),
        (b'"a\x00b"', "not JSON"),
        (b"1 2", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-16-le"), "not JSON"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"[NaN]", "NaN"),
        (b"[Infinity]", "NaN"),
        (b"[-Infinity]", "NaN"),
        (b"1e999", "number is too large"),
        (b"-1e999", "number is too large"),
        (b"1" * 401, "more than 400 characters"),
        (b"0." + b"1" * 399, "more than 400 characters"),
        (b'{"a": 1, "a": 2}', "same key"),
        (b'[{"b": {"a": 1, "\\u0061": 1}}]', "same key"),
        (b'["\\u0000"]', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"a": {"\\uDFFF x": 1}}', "surrogate"),
        (nested(MAX_DEPTH + 1), "nested"),
        (nested(100_000), "nested"),
        (b'{"a":' * 100_000, "nested"),
    ],
)
def test_everything_else_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(UnreadableJson, match=reason):
        parse(raw, 1_000_000)


@pytest.mark.parametrize("raw", [b"[" + b"[]," * (VALUE_LIMIT - 1) + b"[]]", b"[" * VALUE_LIMIT * 10, b"{,"])
def test_a_body_with_too_many_values_is_not_parsed(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "_decode", lambda _: pytest.fail("the body was parsed"))
    with pytest.raises(TooManyValues):
        parse(raw, min(VALUE_LIMIT, len(raw) - 1))


def test_as_many_values_as_are_allowed_are_read() -> None:
    assert parse(b"[" + b"[]," * (VALUE_LIMIT - 2) + b"[]]") == [[]] * (VALUE_LIMIT - 1)


def test_the_deepest_allowed_nesting_is_read() -> None:
    parse(nested(MAX_DEPTH))
    parse(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH)


def test_the_reason_does_not_repeat_the_input() -> None:
    with pytest.raises(UnreadableJson) as caught:
        parse(b'{"ada@example.com": ada@example.com}')
    assert "ada" not in caught.value.reason
    assert caught.value.__cause__ is None


@given(JSON)
def test_written_json_is_read_back_unchanged(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@given(TEXT, SURROGATES, TEXT)
def test_a_lone_surrogate_is_refused_at_every_position(before: str, lone: str, after: str) -> None:
    with pytest.raises(UnreadableJson, match="surrogate"):
        parse(json.dumps([{before + lone + after: 1}]).encode())


@given(st.binary())
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = parse(raw)
    except UnreadableJson:
        return
    json.dumps(value, ensure_ascii=False).encode()
