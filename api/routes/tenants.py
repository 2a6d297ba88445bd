"""Tenants of the installation, for keys of its own tenant."""

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.key_views import create_key_of
from api.openapi import answers
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.problems import conflict, not_found
from api.schemas.keys import CreatedKey, KeyBody
from api.schemas.tenants import SuspensionBody, TenantBody, TenantView
from models.tenants import Tenant
from storage import tenants
from storage.tenants import TenantRefused, TenantState

router = APIRouter(route_class=FrontDoor, prefix="/tenants", tags=["tenants"])


@router.get("")
@scope("operate")
async def list_tenants(caller: CallerDep, parts: PartsDep, paging: PagingDep) -> Page[TenantView]:
    """List all tenants of this installation, by key."""
    async with parts.database.transaction() as session:
        rows = await tenants.listed(session, paging.after, paging.fetch)
    return paging.page(rows, lambda row: row.key, _view)


@router.post("", status_code=201, responses=answers(409))
@scope("operate")
async def create_tenant(body: TenantBody, caller: CallerDep, parts: PartsDep, response: Response) -> TenantView:
    """Create a tenant without any key; `POST /tenants/{key}/keys` creates its first one."""
    async with parts.database.transaction() as session:
        if await tenants.make(session, body.key, caller.actor, body.name) is None:
            raise conflict("There is a tenant with this key already.")
        view = await _state(session, body.key)
    response.headers["Location"] = f"/api/v1/tenants/{body.key}"
    return view


@router.get("/{key}")
@scope("operate")
async def get_tenant(key: str, caller: CallerDep, parts: PartsDep) -> TenantView:
    """Show one tenant, and whether it is suspended."""
    async with parts.database.transaction() as session:
        return await _state(session, key)


@router.post("/{key}/keys", status_code=201, responses=answers(409))
@scope("operate")
async def create_tenant_key(
    key: str, body: KeyBody, caller: CallerDep, parts: PartsDep, response: Response
) -> CreatedKey:
    """Create a key of this tenant, with any scopes but `operate`. It is shown in this response only."""
    async with parts.database.transaction() as session:
        tenant = await _known(session, key)
    response.headers["Cache-Control"] = "no-store"
    return await create_key_of(parts, tenant.id, body, caller)


@router.post("/{key}/suspend", responses=answers(409))
@scope("operate")
async def suspend_tenant(
    key: str, caller: CallerDep, parts: PartsDep, body: SuspensionBody | None = None
) -> TenantView:
    """Refuse the tenant's keys with 403 within 5 seconds, and hold its messages back. Idempotent."""
    async with parts.database.transaction() as session:
        tenant = await _known(session, key)
        try:
            await tenants.suspend(session, tenant, body.reason if body else None, caller.actor)
        except TenantRefused:
            raise conflict("The installation's own tenant cannot be suspended.") from None
        view = await _state(session, key)
    parts.catalog.flush()
    return view


@router.post("/{key}/resume")
@scope("operate")
async def resume_tenant(key: str, caller: CallerDep, parts: PartsDep) -> TenantView:
    """Accept the tenant's keys again and release its messages, the most urgent first. Idempotent."""
    async with parts.database.transaction() as session:
        await tenants.resume(session, await _known(session, key), caller.actor)
        view = await _state(session, key)
    parts.catalog.flush()
    return view


async def _known(session: AsyncSession, key: str) -> Tenant:
    tenant = await tenants.find(session, key)
    if tenant is None:
        raise unknown()
    return tenant


async def _state(session: AsyncSession, key: str) -> TenantView:
    state = await tenants.state(session, key)
    if state is None:
        raise unknown()
    return _view(state)


def _view(state: TenantState) -> TenantView:
    return TenantView(**{name: getattr(state, name) for name in state.__slots__})


def unknown() -> Exception:
    return not_found("There is no tenant with this key.")
