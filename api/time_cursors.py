"""Parse cursors of lists ordered by time and id. Used by the routes of the inbox, the outbox and event endpoints."""

from api.paging import Paging, invalid_cursor
from domain.cursors import Cursor, parse_cursor


def time_cursor_of(paging: Paging) -> Cursor | None:
    try:
        return None if paging.after is None else parse_cursor(paging.after)
    except ValueError:
        raise invalid_cursor() from None
