"""Format the position of a row in a sorted list as the text of a cursor, and parse such texts.

A position is an id, a text, a time with an id, or several texts. Parsers raise ValueError for any text that the
formatting functions do not return.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

# Sorts before every id.
MIN_ID = UUID(int=0)
# None of the joined texts can contain it.
SEPARATOR = "\x1f"


def first_id_at(moment: datetime) -> UUID:
    """Return the smallest id of a moment. The ids of all tables are UUIDv7, which begin with their time."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


class Cursor(NamedTuple):
    """The position of a row in a list sorted by time and id."""

    at: datetime
    id: UUID

    def __str__(self) -> str:
        return f"{self.at.isoformat()} {self.id}"


def parse_cursor(text: str) -> Cursor:
    """Parse a cursor with a time in UTC.

    Other offsets and spellings are refused: near the years 1 and 9999 a time with an offset has no time in UTC.
    """
    at, _, id = text.partition(" ")
    cursor = Cursor(datetime.fromisoformat(at), UUID(id))
    if cursor.at.utcoffset() != timedelta(0) or str(cursor) != text:
        raise ValueError("is not a time in UTC and an id")
    return cursor


def parse_id(text: str) -> UUID:
    id = UUID(text)
    if str(id) != text:
        raise ValueError("is not an id in lower case with hyphens")
    return id


def join_texts(*texts: object) -> str:
    return SEPARATOR.join(str(text) for text in texts)


def split_texts(text: str, count: int) -> list[str]:
    texts = text.split(SEPARATOR)
    if len(texts) != count:
        raise ValueError(f"does not have {count} parts")
    return texts


def encode_cursor(text: str) -> str:
    """Return an opaque text of letters, digits, `-` and `_`."""
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(encoded: str) -> str:
    text = urlsafe_b64decode(encoded.encode("ascii") + b"=" * (-len(encoded) % 4)).decode()
    if encode_cursor(text) != encoded or "\x00" in text:
        raise ValueError("is not an encoded cursor")
    return text
