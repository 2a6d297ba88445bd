"""Page lists: `limit` and `cursor` in, `{"items": [...], "next_cursor": ...}` out. A cursor is opaque to callers."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from api.problems import Problem, invalid
from api.schemas.base import Model

Item = TypeVar("Item")
Row = TypeVar("Row")

SEPARATOR = "\x1f"


class Page(Model, Generic[Item]):
    items: list[Item]
    next_cursor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Paging:
    """`after` is the key of the last row of the previous page, None on the first page."""

    limit: int
    after: str | None

    @property
    def fetch_limit(self) -> int:
        """One more than the page size, to detect a further page."""
        return self.limit + 1

    @property
    def after_id(self) -> UUID | None:
        if self.after is None:
            return None
        try:
            id = UUID(self.after)
        except ValueError:
            raise invalid_cursor() from None
        if str(id) != self.after:
            raise invalid_cursor()
        return id

    def after_columns(self, count: int) -> str | None:
        """Return the cursor of a list ordered by several columns, joined by a separator that none of them can
        contain."""
        if self.after is not None and self.after.count(SEPARATOR) != count - 1:
            raise invalid_cursor()
        return self.after

    def page(self, rows: Sequence[Row], key: Callable[[Row], object], item: Callable[[Row], Item]) -> Page[Item]:
        """Return the page of rows fetched with `fetch_limit`. `key` returns the `after` of a row."""
        shown = rows[: self.limit]
        more = len(rows) > self.limit
        cursor = encode_cursor(str(key(shown[-1]))) if more else None
        return Page(items=[item(row) for row in shown], next_cursor=cursor)


def encode_cursor(key: str) -> str:
    return urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    try:
        key = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise invalid_cursor() from None
    if encode_cursor(key) != cursor or "\x00" in key:
        raise invalid_cursor()
    return key


def invalid_cursor() -> Problem:
    """Return the problem of a cursor that was edited or belongs to another list."""
    return invalid({"parameter": "cursor", "detail": "is not a cursor of this list"})


async def paging(
    limit: Annotated[int, Query(ge=1, le=100, description="Items per page.")] = 20,
    cursor: Annotated[str | None, Query(max_length=4_000, description="`next_cursor` of the previous page.")] = None,
) -> Paging:
    return Paging(limit=limit, after=None if cursor is None else decode_cursor(cursor))


PagingDep = Annotated[Paging, Depends(paging)]
