"""Routes of digest windows: list them, read one, close one early."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.notification_views import temporal_url
from api.paging import Page, PagingDep
from api.problems import not_found
from api.schemas.base import Id
from api.schemas.digests import DigestView
from config import Settings
from domain.names import digest_workflow_id
from models.digests import Digest
from storage import digest_closing, digests

router = APIRouter(route_class=AuthenticatedRoute, prefix="/digests", tags=["digests"])

UNKNOWN = "There is no such digest."


@router.get("")
@scope("read")
async def list_digests(
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    recipient_id: Annotated[str | None, Query(max_length=255)] = None,
    notification_type: Annotated[str | None, Query(max_length=255)] = None,
    closed: Annotated[bool, Query(description="List closed windows instead.")] = False,
) -> Page[DigestView]:
    """List open digest windows, newest first; with `closed=true`, closed ones instead."""
    async with container.database.transaction() as session:
        rows = await digests.list_page(
            session,
            caller.tenant,
            is_open=not closed,
            recipient_id=recipient_id,
            notification_type=notification_type,
            before=paging.after_id,
            limit=paging.fetch_limit,
        )
    return paging.page(rows, lambda row: row.id, lambda row: _view(row, container.settings))


@router.get("/{id}")
@scope("read")
async def get_digest(id: Id, caller: CallerDep, container: ContainerDep) -> DigestView:
    """Return one digest window. Its items are the notifications whose `digest` has its id."""
    async with container.database.transaction() as session:
        return _view(await _get_digest(session, caller.tenant, id), container.settings)


@router.post("/{id}/flush")
@scope("send")
async def flush_digest(id: Id, caller: CallerDep, container: ContainerDep) -> DigestView:
    """Close a digest window now and send its items. A window that is already closed does not change."""
    async with container.database.transaction() as session:
        await _get_digest(session, caller.tenant, id)
        await digest_closing.close_window(session, id)
        row = await _get_digest(session, caller.tenant, id)
    return _view(row, container.settings)


async def _get_digest(session: AsyncSession, tenant: UUID, id: UUID) -> Digest:
    row = await digests.find(session, tenant, id)
    if row is None:
        raise not_found(UNKNOWN)
    return row


def _view(row: Digest, settings: Settings) -> DigestView:
    names = DigestView.model_fields.keys() - {"items", "temporal_url"}
    values = {name: getattr(row, name) for name in names}
    url = None if row.closes_on_schedule else temporal_url(settings, digest_workflow_id(row.digest_key))
    return DigestView(**values, items=row.item_count, temporal_url=url)
