"""The inbox of a person, by API key: for the server of an application that shows it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.callers import Caller, CallerDep
from api.front_door import FrontDoor, scope
from api.paging import PagingDep
from api.parts import PartsDep
from api.places import before
from api.problems import not_found
from api.schemas.contact import RecipientId
from api.schemas.inbox import InboxItem, InboxPage, MarkedRead
from bootstrap import Parts
from domain.places import Place, place_text
from storage import inbox
from storage.inbox import Mark, Message

router = APIRouter(route_class=FrontDoor, tags=["inbox"])

READ_AT_ONCE = 500  # messages of one transaction
MOST_READ = 10_000

OfRecipient = Annotated[RecipientId, Query()]


@router.get("/inbox")
@scope("read")
async def list_inbox(
    recipient_id: OfRecipient, caller: CallerDep, parts: PartsDep, paging: PagingDep, archived: bool = False
) -> InboxPage:
    """Newest first, without what was archived; `archived=true` shows only that."""
    async with parts.database.transaction() as session:
        rows = await inbox.page(
            session, caller.tenant, recipient_id, limit=paging.fetch, before=before(paging), archived=archived
        )
        unread = await inbox.unread(session, caller.tenant, recipient_id)
    page = paging.page(rows, lambda row: place_text(row.created_at, row.id), _item)
    return InboxPage(items=page.items, next_cursor=page.next_cursor, unread=unread)


@router.post("/inbox/read-all")
@scope("manage")
async def read_whole_inbox(recipient_id: OfRecipient, caller: CallerDep, parts: PartsDep) -> MarkedRead:
    """Mark up to 10,000 unread messages of one recipient as read and opened. `marked` is their number."""
    marked: list[Place] = []
    while len(marked) < MOST_READ:
        last = marked[-1] if marked else None
        async with parts.database.transaction() as session:
            places = await inbox.read_batch(session, caller.tenant, recipient_id, last, READ_AT_ONCE)
        if not places:  # a batch that is not full is not the last one: some of it may just have been read
            break
        marked += places
        parts.on_receipts()
    return MarkedRead(marked=len(marked))


@router.post("/inbox/{id}/read")
@scope("manage")
async def read_message(id: UUID, caller: CallerDep, parts: PartsDep) -> InboxItem:
    """Mark a message as read and seen, which counts as opening it: a step with `until: opened` has reached its goal."""
    return await _marked(id, Mark.READ, caller, parts)


@router.post("/inbox/{id}/seen")
@scope("manage")
async def see_message(id: UUID, caller: CallerDep, parts: PartsDep) -> InboxItem:
    """It was on the person's screen, perhaps unread. The first time counts."""
    return await _marked(id, Mark.SEEN, caller, parts)


@router.post("/inbox/{id}/archive")
@scope("manage")
async def archive_message(id: UUID, caller: CallerDep, parts: PartsDep) -> InboxItem:
    """It is listed with `archived=true` alone from now on, and counts as unread no more."""
    return await _marked(id, Mark.ARCHIVED, caller, parts)


async def _marked(id: UUID, mark: Mark, caller: Caller, parts: Parts) -> InboxItem:
    async with parts.database.transaction() as session:
        message = await inbox.mark(session, caller.tenant, id, mark)
    if message is None:
        raise not_found("There is no such message.")
    if mark is Mark.READ:
        parts.on_receipts()
    return _item(message)


def _item(message: Message) -> InboxItem:
    return InboxItem(**{name: getattr(message, name) for name in message.__slots__})
