"""Routes of the audit log: changes of the configuration of a tenant."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.paging import Page, PagingDep
from api.problems import Problem, invalid
from api.schemas.audit import ActorView, AuditEntryView
from api.schemas.base import Id, Key, Timestamp
from domain.audit import ActorKind, Caller
from models.audit import AuditEntry
from storage import audit, tenants
from storage.api_keys import OPERATE_SCOPE

router = APIRouter(route_class=AuthenticatedRoute, prefix="/audit", tags=["audit"])

SearchText = Annotated[str | None, Query(max_length=300)]


@router.get("")
@scope("manage")
async def list_audit_entries(
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    action: SearchText = None,
    subject: SearchText = None,
    actor_id: Annotated[Id | None, Query(description="Id of the API key that made the change.")] = None,
    at_from: Annotated[Timestamp | None, Query(description="Changes at or after this time.")] = None,
    at_before: Annotated[Timestamp | None, Query(description="Changes before this time.")] = None,
    tenant: Annotated[Key | None, Query(description="List entries of this tenant. Needs the scope `operate`.")] = None,
    all_tenants: Annotated[bool, Query(description="List entries of all tenants. Needs the scope `operate`.")] = False,
) -> Page[AuditEntryView]:
    """List configuration changes, newest first. Entries are kept for 400 days, at most 100,000 per tenant."""
    async with container.database.transaction() as session:
        searched = await _searched_tenant(session, caller, tenant, all_tenants=all_tenants)
        wanted = audit.AuditSearch(
            tenant=searched, action=action, subject=subject, actor_id=actor_id, at_from=at_from, at_before=at_before
        )
        rows = await audit.search(session, wanted, before=paging.after_id, limit=paging.fetch_limit)
        names = await tenants.read_keys(session, {row.tenant for row in rows})
    return paging.page(rows, lambda row: row.id, lambda row: _view(row, names[row.tenant], caller))


async def _searched_tenant(
    session: AsyncSession, caller: Caller, tenant: str | None, *, all_tenants: bool
) -> UUID | None:
    """Return the tenant whose entries are listed, or None for all tenants."""
    if tenant is None and not all_tenants:
        return caller.tenant
    if OPERATE_SCOPE not in caller.scopes:
        raise Problem(403, "Entries of other tenants need a key with the scope 'operate'.")
    if tenant is None:
        return None
    if all_tenants:
        raise invalid({"parameter": "all_tenants", "detail": "cannot be combined with tenant"})
    found = await tenants.find(session, tenant)
    if found is None:
        raise invalid({"parameter": "tenant", "detail": "there is no such tenant"})
    return found.id


def _view(row: AuditEntry, tenant: str, caller: Caller) -> AuditEntryView:
    named = row.actor_kind == ActorKind.KEY or OPERATE_SCOPE in caller.scopes
    actor = ActorView(
        kind=ActorKind(row.actor_kind),
        id=row.actor_id if named else None,
        name=row.actor_name if named else None,
    )
    return AuditEntryView(
        id=row.id,
        at=row.at,
        tenant=tenant,
        actor=actor,
        action=row.action,
        subject=row.subject,
        before=row.before,
        after=row.after,
    )
