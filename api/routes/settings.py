"""Routes of the settings of a tenant."""

from dataclasses import asdict

from fastapi import APIRouter

from api import auditing
from api.authenticated_route import AuthenticatedRoute, scope
from api.callers import CallerDep
from api.container import ContainerDep
from api.problems import invalid
from api.schemas.settings import TenantChanges, TenantSettings
from domain.gates import GateReason
from domain.names import FLUSH_CHANNEL
from domain.validation_issues import issue_at
from storage import reconsiderations, tenants
from storage.statements import notify
from storage.tenants import TenantDefaults

router = APIRouter(route_class=AuthenticatedRoute, prefix="/settings", tags=["settings"])

CLEARABLE_FIELDS = ("frequency_cap", "phone_regions")


@router.get("")
@scope("read")
async def get_settings(caller: CallerDep, container: ContainerDep) -> TenantSettings:
    """Return default language, time zone, frequency cap, retention times and phone regions of the tenant."""
    async with container.database.transaction() as session:
        return _view(await tenants.read_defaults(session, caller.tenant))


@router.patch("")
@scope("manage")
async def patch_settings(changes: TenantChanges, caller: CallerDep, container: ContainerDep) -> TenantSettings:
    """Change settings. Null removes the cap or the regions. Affected waiting notifications are checked again."""
    given = changes.model_dump(mode="json", exclude_unset=True)
    changed_fields = {name: value for name, value in given.items() if value is not None or name in CLEARABLE_FIELDS}
    async with container.database.transaction() as session:
        before = await tenants.read_defaults(session, caller.tenant, lock=True)
        after = TenantDefaults(
            **{name: changed_fields.get(name, getattr(before, name)) for name in TenantDefaults.__slots__}
        )
        if after.record_days < after.content_days:
            raise invalid(issue_at("/record_days", "must not be less than content_days"))
        await tenants.save_defaults(session, caller.tenant, after)
        await auditing.record_change(session, caller, "settings.changed", "settings", asdict(before), asdict(after))
        if after.timezone != before.timezone:
            await reconsiderations.apply_timezone_changes(session, caller.tenant, None)
        if after.frequency_cap != before.frequency_cap:
            await reconsiderations.reconsider(session, caller.tenant, None, (GateReason.FREQUENCY_CAPPED,))
        await notify(session, FLUSH_CHANNEL)
    container.catalog.flush()
    return _view(after)


def _view(choices: TenantDefaults) -> TenantSettings:
    return TenantSettings.model_validate({name: getattr(choices, name) for name in TenantDefaults.__slots__})
