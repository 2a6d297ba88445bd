"""Cursors of lists that are sorted by time and then id; called by the inbox's and the outbox's routes."""

from api.paging import Paging, not_ours
from domain.places import Place, place_of


def before(paging: Paging) -> Place | None:
    try:
        return None if paging.after is None else place_of(paging.after)
    except ValueError:
        raise not_ours() from None
