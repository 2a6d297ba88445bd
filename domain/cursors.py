"""Encode a row's position in a list sorted by time and id as the text of a cursor."""

from datetime import datetime, timedelta
from uuid import UUID

Cursor = tuple[datetime, UUID]


def format_cursor(at: datetime, id: UUID) -> str:
    return f"{at.isoformat()} {id}"


def parse_cursor(text: str) -> Cursor:
    """Parse a cursor with a time in UTC; raise ValueError for any other text.

    Other offsets and spellings are refused: near the years 1 and 9999 a time with an offset has no time in UTC.
    """
    at, _, id = text.partition(" ")
    cursor = datetime.fromisoformat(at), UUID(id)
    if cursor[0].utcoffset() != timedelta(0) or format_cursor(*cursor) != text:
        raise ValueError("is not a time in UTC and an id")
    return cursor
