"""Cursors of lists that are sorted by time and then id; called by the inbox's and the outbox's routes."""

from api.paging import Paging, invalid_cursor
from domain.cursors import Cursor, parse_cursor


def before(paging: Paging) -> Cursor | None:
    try:
        return None if paging.after is None else parse_cursor(paging.after)
    except ValueError:
        raise invalid_cursor() from None
