"""Routes of a recipient's inbox, for the server of an application that shows it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.paging import PagingDep
from api.problems import not_found
from api.schemas.contact import RecipientId
from api.schemas.inbox import InboxItem, InboxPage, MarkedRead
from bootstrap import Container
from domain.audit import Caller
from domain.cursors import Cursor
from storage import inbox
from storage.inbox import InboxMark, StoredInboxMessage

router = APIRouter(route_class=AuthenticatedRoute, tags=["inbox"])

READ_BATCH_SIZE = 500  # messages per transaction
MAX_MARKED_READ = 10_000

RecipientIdQuery = Annotated[RecipientId, Query()]


@router.get("/inbox")
@scope("read")
async def list_inbox(
    recipient_id: RecipientIdQuery,
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    archived: bool = False,
) -> InboxPage:
    """List in-app messages, newest first, without archived ones; with `archived=true`, only archived ones."""
    async with container.database.transaction() as session:
        rows = await inbox.list_page(
            session,
            caller.tenant,
            recipient_id,
            limit=paging.fetch_limit,
            before=paging.after_cursor,
            archived=archived,
        )
        unread = await inbox.count_unread(session, caller.tenant, recipient_id)
    page = paging.page(rows, lambda row: Cursor(row.created_at, row.id), _item)
    return InboxPage(items=page.items, next_cursor=page.next_cursor, unread=unread)


@router.post("/inbox/read-all")
@scope("manage")
async def mark_inbox_read(recipient_id: RecipientIdQuery, caller: CallerDep, container: ContainerDep) -> MarkedRead:
    """Mark up to 10,000 unread messages of a recipient as read and opened. `marked` is their number."""
    marked: list[Cursor] = []
    while len(marked) < MAX_MARKED_READ:
        last = marked[-1] if marked else None
        async with container.database.transaction() as session:
            message_cursors = await inbox.mark_batch_read(session, caller.tenant, recipient_id, last, READ_BATCH_SIZE)
        if (
            not message_cursors
        ):  # a batch that is not full may not be the last: some of its messages may just have been read
            break
        marked += message_cursors
        container.wake_receipt_applier()
    return MarkedRead(marked=len(marked))


@router.post("/inbox/{id}/read")
@scope("manage")
async def mark_message_read(id: UUID, caller: CallerDep, container: ContainerDep) -> InboxItem:
    """Mark a message as read and seen. This counts as opened, so a step with `until: opened` reaches its goal."""
    return await _mark(id, InboxMark.READ, caller, container)


@router.post("/inbox/{id}/seen")
@scope("manage")
async def mark_message_seen(id: UUID, caller: CallerDep, container: ContainerDep) -> InboxItem:
    """Mark a message as displayed to the recipient, but not read. Only the first call has an effect."""
    return await _mark(id, InboxMark.SEEN, caller, container)


@router.post("/inbox/{id}/archive")
@scope("manage")
async def archive_message(id: UUID, caller: CallerDep, container: ContainerDep) -> InboxItem:
    """Archive a message: it is listed only with `archived=true` and no longer counts as unread."""
    return await _mark(id, InboxMark.ARCHIVED, caller, container)


async def _mark(id: UUID, mark: InboxMark, caller: Caller, container: Container) -> InboxItem:
    async with container.database.transaction() as session:
        message = await inbox.set_mark(session, caller.tenant, id, mark)
    if message is None:
        raise not_found("There is no such message.")
    if mark is InboxMark.READ:
        container.wake_receipt_applier()
    return _item(message)


def _item(message: StoredInboxMessage) -> InboxItem:
    return InboxItem(**{name: getattr(message, name) for name in message.__slots__})
