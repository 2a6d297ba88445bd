"""Build the plain text of a chat message, within the limit of its service."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

ELLIPSIS = "…"


def text_of(content: Mapping[str, Any]) -> str:
    """Return the title, if the template has one, and the body below it."""
    return "\n".join(part for name in ("title", "body") if (part := str(content.get(name) or "").strip()))


def truncate(text: str, limit: int, measure: Callable[[str], int]) -> str:
    """Return the text, or its longest beginning that fits with an ellipsis. `measure` is at least the length."""
    if measure(text) <= limit:
        return text
    kept = bisect_right(range(min(len(text), limit)), limit, key=lambda end: measure(text[:end] + ELLIPSIS))
    return text[: max(kept - 1, 0)].rstrip() + ELLIPSIS


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
