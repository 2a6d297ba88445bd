"""Cursors of lists that are sorted by time and then id; called by the inbox's and the outbox's routes."""

from api.paging import Paging
from api.problems import invalid
from domain.places import Place, place_of


def before(paging: Paging) -> Place | None:
    try:
        return None if paging.after is None else place_of(paging.after)
    except ValueError:
        raise invalid({"parameter": "cursor", "detail": "is not a cursor of this list"}) from None
