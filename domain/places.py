"""A row's place in a list that is sorted by time and then id, as the text of a cursor."""

from datetime import datetime
from uuid import UUID

Place = tuple[datetime, UUID]


def place_text(at: datetime, id: UUID) -> str:
    return f"{at.isoformat()} {id}"


def place_of(text: str) -> Place:
    """ValueError for what is no place."""
    at, _, id = text.partition(" ")
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError("has no offset")
    return moment, UUID(id)
