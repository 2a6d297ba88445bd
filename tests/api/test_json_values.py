"""Test the number of JSON values, counted without parsing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import json_values
from api.json_values import has_more_values

TEXT = st.text(st.sampled_from('ab ,[]{}:"\\\n\u00e9'), max_size=8)
JSON = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


def values_in(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values_in, below))


@given(JSON, st.integers(1, 40), st.sampled_from([None, 1, 3]), st.booleans())
def test_the_count_is_exact(value: Any, slice_size: int, indent: int | None, ascii_only: bool) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    count = values_in(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_values, "SLICE_SIZE", slice_size)
        assert not has_more_values(raw, count)
        assert has_more_values(raw, count - 1)


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b"1", 1),
        (b"[]", 1),
        (b"[ ]", 1),
        (b"{ \n}", 1),
        (b'{"a": {}, "b": [[], ""]}', 5),
        (b'",,,[[[{{{"', 1),
        (rb'["\",[", "\\", 1]', 4),
    ],
)
def test_values_are_counted(raw: bytes, count: int) -> None:
    assert not has_more_values(raw, count)
    assert has_more_values(raw, count - 1)
