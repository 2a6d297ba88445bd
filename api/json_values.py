"""Count the values of a JSON text without parsing it. Called before a body or an item of a batch is parsed.

`json.loads` holds the interpreter lock until the last value is built, so a text with too many values must not reach it.
"""

from collections.abc import Iterator

# Bytes of one step of the exact count. Other threads run between two steps.
SLICE_SIZE = 64 * 1024
WHITE_SPACE = b" \t\r\n"


def has_more_values(raw: bytes, limit: int) -> bool:
    """Return whether the text has more than `limit` values: objects, arrays, strings, numbers, true, false and null.
    Member names do not count.

    Each value but the first follows a comma or an opening bracket, so their number is an upper bound. The exact count
    is made only if that bound exceeds the limit. For text that is not JSON the result is arbitrary, and the parser
    rejects that text.
    """
    return _count_separators(raw) >= limit and _has_more_outside_strings(raw, limit)


def _count_separators(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def count_values(raw: bytes, threshold: int) -> int:
    """Return the number of values of the text, or a lower number if it has fewer than `threshold`."""
    return 0 if _count_separators(raw) < threshold - 1 else sum(_counts_outside_strings(raw), 1)


def _has_more_outside_strings(raw: bytes, limit: int) -> bool:
    found = 1
    for values in _counts_outside_strings(raw):
        found += values
        if found > limit:
            return True
    return False


def _counts_outside_strings(raw: bytes) -> Iterator[int]:
    """Yield the number of values in each slice. After the escapes are removed, every quote begins or ends a string."""
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    inside, opened = 0, b""
    for start in range(0, len(plain), SLICE_SIZE):
        parts = plain[start : start + SLICE_SIZE].split(b'"')
        outside = opened + b'"'.join(parts[inside::2]).translate(None, WHITE_SPACE)
        inside = (inside + len(parts) - 1) % 2
        # The next slice shows whether a value follows an opening bracket at the end of this one.
        opened = outside[-1:] if outside.endswith((b"[", b"{")) and not inside else b""
        yield _count_separators(outside) - _count_empty(outside) - len(opened)


def _count_empty(outside: bytes) -> int:
    """Return the number of empty arrays and objects, whose opening bracket is not followed by a value."""
    return outside.count(b"[]") + outside.count(b"{}")
