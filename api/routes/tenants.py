"""Routes of tenants, for keys of the installation's own tenant."""

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.key_views import issue_key
from api.openapi import problem_responses
from api.paging import Page, PagingDep
from api.problems import conflict, not_found
from api.schemas.keys import CreatedKey, KeyBody
from api.schemas.tenants import EmailDomainsBody, SuspensionBody, TenantBody, TenantView
from models.tenants import Tenant
from storage import tenants
from storage.tenants import TenantChangeNotAllowed, TenantState

router = APIRouter(route_class=AuthenticatedRoute, prefix="/tenants", tags=["tenants"])


@router.get("")
@scope("operate")
async def list_tenants(caller: CallerDep, container: ContainerDep, paging: PagingDep) -> Page[TenantView]:
    """List all tenants of this installation, by key."""
    async with container.database.transaction() as session:
        rows = await tenants.list_page(session, paging.after, paging.fetch_limit)
    return paging.page(rows, lambda row: row.key, _view)


@router.post("", status_code=201, responses=problem_responses(409))
@scope("operate")
async def create_tenant(body: TenantBody, caller: CallerDep, container: ContainerDep, response: Response) -> TenantView:
    """Create a tenant without API keys. `POST /tenants/{key}/keys` creates its first key."""
    async with container.database.transaction() as session:
        if await tenants.create(session, body.key, caller.actor, body.name) is None:
            raise conflict("A tenant with this key already exists.")
        view = await _tenant_view(session, body.key)
    response.headers["Location"] = f"/api/v1/tenants/{body.key}"
    return view


@router.get("/{key}")
@scope("operate")
async def get_tenant(key: str, caller: CallerDep, container: ContainerDep) -> TenantView:
    """Return one tenant, and whether it is suspended."""
    async with container.database.transaction() as session:
        return await _tenant_view(session, key)


@router.post("/{key}/keys", status_code=201, responses=problem_responses(409))
@scope("operate")
async def create_tenant_key(
    key: str, body: KeyBody, caller: CallerDep, container: ContainerDep, response: Response
) -> CreatedKey:
    """Create a key of this tenant, with any scopes but `operate`. Only this response shows it."""
    async with container.database.transaction() as session:
        tenant = await _get_tenant(session, key)
    response.headers["Cache-Control"] = "no-store"
    return await issue_key(container, tenant.id, body, caller)


@router.post("/{key}/suspend", responses=problem_responses(409))
@scope("operate")
async def suspend_tenant(
    key: str, caller: CallerDep, container: ContainerDep, body: SuspensionBody | None = None
) -> TenantView:
    """Suspend a tenant: its keys get 403 within 5 seconds, and its messages are held. Idempotent."""
    async with container.database.transaction() as session:
        tenant = await _get_tenant(session, key)
        try:
            await tenants.suspend(session, tenant, body.reason if body else None, caller.actor)
        except TenantChangeNotAllowed:
            raise conflict("The installation's own tenant cannot be suspended.") from None
        view = await _tenant_view(session, key)
    container.catalog.flush()
    return view


@router.put("/{key}/email-domains")
@scope("operate")
async def set_email_domains(key: str, body: EmailDomainsBody, caller: CallerDep, container: ContainerDep) -> TenantView:
    """Set the domains in which the tenant may have senders and reply addresses. By default it has none."""
    async with container.database.transaction() as session:
        tenant = await _get_tenant(session, key)
        await tenants.set_email_domains(session, tenant, list(dict.fromkeys(body.email_domains)), caller.actor)
        view = await _tenant_view(session, key)
    container.catalog.flush()
    return view


@router.post("/{key}/resume")
@scope("operate")
async def resume_tenant(key: str, caller: CallerDep, container: ContainerDep) -> TenantView:
    """Resume a tenant: its keys are accepted and its messages released, most urgent first. Idempotent."""
    async with container.database.transaction() as session:
        await tenants.resume(session, await _get_tenant(session, key), caller.actor)
        view = await _tenant_view(session, key)
    container.catalog.flush()
    return view


async def _get_tenant(session: AsyncSession, key: str) -> Tenant:
    tenant = await tenants.find(session, key)
    if tenant is None:
        raise tenant_not_found()
    return tenant


async def _tenant_view(session: AsyncSession, key: str) -> TenantView:
    state = await tenants.read_state(session, key)
    if state is None:
        raise tenant_not_found()
    return _view(state)


def _view(state: TenantState) -> TenantView:
    values = {name: getattr(state, name) for name in TenantView.model_fields if name != "installation"}
    return TenantView(**values, installation=state.is_installation)


def tenant_not_found() -> Exception:
    return not_found("There is no tenant with this key.")
