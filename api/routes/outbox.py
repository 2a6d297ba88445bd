"""Route of the outbox: messages that the sandbox accepted. Available only in development."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.openapi import problem_responses
from api.paging import Page, PagingDep
from api.problems import not_found
from api.schemas.contact import RecipientId
from api.schemas.inbox import OutboxItem
from domain.channels import Channel
from domain.cursors import Cursor
from storage import sandbox
from storage.sandbox import OutboxEntry

router = APIRouter(route_class=AuthenticatedRoute, tags=["outbox"])


@router.get("/outbox", responses=problem_responses(404))
@scope("read")
async def list_outbox(
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    recipient_id: Annotated[RecipientId | None, Query()] = None,
    channel: Channel | None = None,
) -> Page[OutboxItem]:
    """List messages of the sandbox and in-app messages, newest first. 404 unless `TOCSIN_ENV=dev`."""
    if not container.settings.is_dev:
        raise not_found()
    async with container.database.transaction() as session:
        entries = await sandbox.list_page(
            session,
            caller.tenant,
            recipient_id=recipient_id,
            channel=channel,
            limit=paging.fetch_limit,
            before=paging.after_cursor,
        )
    return paging.page(entries, lambda entry: Cursor(entry.accepted_at, entry.id), _item)


def _item(entry: OutboxEntry) -> OutboxItem:
    shown = set(entry.__slots__) - {"generation"}
    return OutboxItem(**{name: getattr(entry, name) for name in shown})
