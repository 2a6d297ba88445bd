"""Digests that are being collected, and those that were: looked at, and closed before their time."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.problems import not_found
from api.schemas.base import Id
from api.schemas.digests import DigestView
from api.views import temporal_url
from config import Settings
from domain.names import digest_workflow_id
from storage import digest_closing, digests
from storage.digests import Digest

router = APIRouter(route_class=FrontDoor, prefix="/digests", tags=["digests"])

UNKNOWN = "There is no such digest."


@router.get("")
@scope("read")
async def list_digests(
    caller: CallerDep,
    parts: PartsDep,
    paging: PagingDep,
    recipient_id: Annotated[str | None, Query(max_length=255)] = None,
    notification_type: Annotated[str | None, Query(max_length=255)] = None,
    closed: Annotated[bool, Query(description="Those that are over, instead.")] = False,
) -> Page[DigestView]:
    """Those that are being collected, newest first."""
    async with parts.database.transaction() as session:
        rows = await digests.page(
            session,
            caller.tenant,
            is_open=not closed,
            recipient_id=recipient_id,
            notification_type=notification_type,
            before=paging.after_id,
            limit=paging.fetch,
        )
    return paging.page(rows, lambda row: row.id, lambda row: _view(row, parts.settings))


@router.get("/{id}")
@scope("read")
async def get_digest(id: Id, caller: CallerDep, parts: PartsDep) -> DigestView:
    """One window. Its items are the notifications that have its id in their `digest`."""
    async with parts.database.transaction() as session:
        return _view(await _find(session, caller.tenant, id), parts.settings)


@router.post("/{id}/flush")
@scope("send")
async def flush_digest(id: Id, caller: CallerDep, parts: PartsDep) -> DigestView:
    """Close it now: what has been collected goes out. One that is closed already stays as it is."""
    async with parts.database.transaction() as session:
        await _find(session, caller.tenant, id)
        await digest_closing.close(session, [id])
        row = await _find(session, caller.tenant, id)
    return _view(row, parts.settings)


async def _find(session: AsyncSession, tenant: UUID, id: UUID) -> Digest:
    row = await digests.find(session, tenant, id)
    if row is None:
        raise not_found(UNKNOWN)
    return row


def _view(row: Digest, settings: Settings) -> DigestView:
    values = {name: getattr(row, name) for name in DigestView.model_fields if name != "temporal_url"}
    url = None if row.calendar else temporal_url(settings, digest_workflow_id(row.group_key))
    return DigestView(**values, temporal_url=url)
