"""Page lists: `limit` and `cursor` in, `{"items": [...], "next_cursor": ...}` out. A cursor is opaque to callers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from api.problems import Problem, invalid
from api.schemas.base import Model
from domain.cursors import Cursor, decode_cursor, encode_cursor, parse_cursor, parse_id

Item = TypeVar("Item")
Row = TypeVar("Row")
Key = TypeVar("Key")


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
        """Return one more than the page size, to detect a further page."""
        return self.limit + 1

    @property
    def after_id(self) -> UUID | None:
        return self.parse(parse_id)

    @property
    def after_cursor(self) -> Cursor | None:
        return self.parse(parse_cursor)

    def parse(self, parser: Callable[[str], Key]) -> Key | None:
        """Parse `after`. A ValueError of the parser means that the cursor was edited or belongs to another list."""
        try:
            return None if self.after is None else parser(self.after)
        except ValueError:
            raise invalid_cursor() from None

    def page(self, rows: Sequence[Row], key: Callable[[Row], object], item: Callable[[Row], Item]) -> Page[Item]:
        """Return the page of rows fetched with `fetch_limit`. `key` returns the `after` of a row."""
        shown = rows[: self.limit]
        more = len(rows) > self.limit
        cursor = encode_cursor(str(key(shown[-1]))) if more else None
        return Page(items=[item(row) for row in shown], next_cursor=cursor)


def invalid_cursor() -> Problem:
    """Return the problem of a cursor that was edited or belongs to another list."""
    return invalid({"parameter": "cursor", "detail": "is not a cursor of this list"})


async def paging(
    limit: Annotated[int, Query(ge=1, le=100, description="Items per page.")] = 20,
    cursor: Annotated[str | None, Query(max_length=4_000, description="`next_cursor` of the previous page.")] = None,
) -> Paging:
    try:
        return Paging(limit=limit, after=None if cursor is None else decode_cursor(cursor))
    except ValueError:
        raise invalid_cursor() from None


PagingDep = Annotated[Paging, Depends(paging)]
