"""What a tenant chooses for all of its people."""

from dataclasses import asdict

from fastapi import APIRouter

from api import auditing
from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.parts import PartsDep
from api.problems import at, invalid
from api.schemas.settings import TenantChanges, TenantSettings
from domain.gates import GateReason
from storage import catalog, gates, people, tenant_choices
from storage.tenant_choices import Choices

router = APIRouter(route_class=FrontDoor, prefix="/settings", tags=["settings"])

CLEARED_BY_NULL = ("person_cap", "phone_regions")


@router.get("")
@scope("read")
async def get_settings(caller: CallerDep, parts: PartsDep) -> TenantSettings:
    """The default language and zone, the cap per person, how long records are kept, and the phone regions."""
    async with parts.database.transaction() as session:
        return _view(await tenant_choices.read(session, caller.tenant))


@router.patch("")
@scope("manage")
async def patch_settings(changes: TenantChanges, caller: CallerDep, parts: PartsDep) -> TenantSettings:
    """What is not given stays, null takes the cap or the regions away. Whatever waits for one of them asks again."""
    given = changes.model_dump(mode="json", exclude_unset=True)
    kept = {name: value for name, value in given.items() if value is not None or name in CLEARED_BY_NULL}
    async with parts.database.transaction() as session:
        before = await tenant_choices.read(session, caller.tenant, lock=True)
        after = Choices(**{name: kept.get(name, getattr(before, name)) for name in Choices.__slots__})
        if after.record_days < after.content_days:
            raise invalid(at("/record_days", "must not be less than content_days"))
        await tenant_choices.save(session, caller.tenant, after)
        await auditing.note(session, caller, "settings.changed", "settings", asdict(before), asdict(after))
        if after.timezone != before.timezone:
            await people.moved(session, caller.tenant, None)
        if after.person_cap != before.person_cap:
            await gates.reconsider(session, caller.tenant, None, (GateReason.CAPPED,))
        await catalog.announce(session)
    parts.catalog.flush()
    return _view(after)


def _view(choices: Choices) -> TenantSettings:
    return TenantSettings.model_validate({name: getattr(choices, name) for name in Choices.__slots__})
