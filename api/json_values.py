"""Counts the values of a JSON text without parsing it; called before a body or an item of a batch is read.

`json.loads` holds the interpreter lock until the last value is built, so a text with too many must not reach it.
"""

from collections.abc import Iterator

# Bytes per step of the exact count. Other threads run between two steps.
SLICE_SIZE = 64 * 1024
WHITE_SPACE = b" \t\r\n"


def has_more_values(raw: bytes, limit: int) -> bool:
    """Whether the text has more than `limit` values: objects, arrays, strings, numbers, true, false and null.

    Names of members do not count. Each value but the first follows a comma or an opening bracket, so their number is an
    upper bound; it counts exactly only where that bound exceeds the limit. Of text that is not JSON the result is
    arbitrary, and the parser refuses that text.
    """
    return _count_separators(raw) >= limit and _has_more_outside_strings(raw, limit)


def _count_separators(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def count_values(raw: bytes, threshold: int) -> int:
    """The number of values of the text, or some lower number if it has fewer than `least`."""
    return 0 if _count_separators(raw) < threshold - 1 else sum(_counts_outside_strings(raw), 1)


def _has_more_outside_strings(raw: bytes, limit: int) -> bool:
    found = 1
    for values in _counts_outside_strings(raw):
        found += values
        if found > limit:
            return True
    return False


def _counts_outside_strings(raw: bytes) -> Iterator[int]:
    """Of each slice. Without escapes every quote begins or ends a string."""
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    inside, opened = 0, b""
    for start in range(0, len(plain), SLICE_SIZE):
        parts = plain[start : start + SLICE_SIZE].split(b'"')
        outside = opened + b'"'.join(parts[inside::2]).translate(None, WHITE_SPACE)
        inside = (inside + len(parts) - 1) % 2
        # Whether a value follows an opening bracket at the end, the next slice shows.
        opened = outside[-1:] if outside.endswith((b"[", b"{")) and not inside else b""
        yield _count_separators(outside) - _count_empty(outside) - len(opened)


def _count_empty(outside: bytes) -> int:
    """Arrays and objects without values, whose opening bracket no value follows."""
    return outside.count(b"[]") + outside.count(b"{}")
