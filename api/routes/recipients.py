"""People: their profile, and their erasure."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.callers import CallerDep
from api.contact_rules import ContactRules, refuse
from api.front_door import FrontDoor, scope
from api.parts import PartsDep
from api.problems import at, invalid, not_found
from api.routes.devices import device_view
from api.schemas.contact import RecipientId
from api.schemas.recipients import (
    ATTRIBUTES_TOO_LARGE,
    ErasureAccepted,
    ErasureView,
    Profile,
    RecipientView,
    changes_of,
    profile_of,
)
from storage import devices, erasures, large_erasures, people, recipients
from storage.recipients import Person

router = APIRouter(route_class=FrontDoor, tags=["recipients"])

UNKNOWN = "There is no such recipient."


@contextmanager
def attributes_in_limits() -> Iterator[None]:
    try:
        yield
    except recipients.AttributesTooLarge:
        raise invalid(at("/attributes", ATTRIBUTES_TOO_LARGE)) from None


@router.put("/recipients/{recipient_id}", responses={201: {"model": RecipientView, "description": "Created"}})
@scope("manage")
async def put_recipient(
    recipient_id: RecipientId, profile: Profile, caller: CallerDep, parts: PartsDep, response: Response
) -> RecipientView:
    """Exactly this profile from now on; devices and preferences stay as they are."""
    refuse(ContactRules.of(parts.settings, caller).profile_faults(profile))
    async with parts.database.transaction() as session:
        with attributes_in_limits():
            person, created = await recipients.replace(session, caller.tenant, recipient_id, profile_of(profile))
        await people.moved(session, caller.tenant, [recipient_id])
        view = await _view(session, caller.tenant, person)
    response.status_code = 201 if created else 200
    return view


@router.get("/recipients/{recipient_id}")
@scope("read")
async def get_recipient(recipient_id: RecipientId, caller: CallerDep, parts: PartsDep) -> RecipientView:
    """The profile with its devices, whose tokens are not shown."""
    async with parts.database.transaction() as session:
        person = await recipients.find(session, caller.tenant, recipient_id)
        if person is None:
            raise not_found(UNKNOWN)
        return await _view(session, caller.tenant, person)


@router.patch("/recipients/{recipient_id}")
@scope("manage")
async def patch_recipient(
    recipient_id: RecipientId, profile: Profile, caller: CallerDep, parts: PartsDep
) -> RecipientView:
    """Merges (RFC 7396): what is not given stays, null clears, also inside `attributes`."""
    refuse(ContactRules.of(parts.settings, caller).profile_faults(profile))
    async with parts.database.transaction() as session:
        with attributes_in_limits():
            person = await recipients.merge(session, caller.tenant, recipient_id, changes_of(profile))
        if person is None:
            raise not_found(UNKNOWN)
        await people.moved(session, caller.tenant, [recipient_id])
        return await _view(session, caller.tenant, person)


@router.delete("/recipients/{recipient_id}", status_code=202)
@scope("manage")
async def erase_recipient(
    recipient_id: RecipientId, caller: CallerDep, parts: PartsDep, response: Response
) -> ErasureAccepted:
    """Erase the recipient and cancel open sends; with more than 500 notifications in batches, after the response."""
    async with parts.database.transaction() as session:
        erasure = await large_erasures.begin(session, caller.tenant, recipient_id)
    if erasure is None:
        raise not_found(UNKNOWN)
    response.headers["Location"] = f"/api/v1/erasures/{erasure.id}"
    return ErasureAccepted(erasure_id=erasure.id)


@router.get("/erasures/{id}")
@scope("read")
async def get_erasure(id: UUID, caller: CallerDep, parts: PartsDep) -> ErasureView:
    """Return what an erasure has done. It does not say whom it was about; `finished_at` is null while it goes on."""
    async with parts.database.transaction() as session:
        erasure = await erasures.find(session, caller.tenant, id)
    if erasure is None:
        raise not_found("There is no such erasure.")
    return ErasureView(
        id=erasure.id, requested_at=erasure.requested_at, finished_at=erasure.finished_at, counts=erasure.counts
    )


async def _view(session: AsyncSession, tenant: UUID, person: Person) -> RecipientView:
    return RecipientView(
        recipient_id=person.recipient_id,
        email=person.contact.get("email"),
        phone=person.contact.get("phone"),
        webhook_url=person.contact.get("webhook_url"),
        locale=person.locale,
        timezone=person.timezone,
        attributes=person.attributes,
        devices=[device_view(device) for device in await devices.list_of(session, tenant, person.recipient_id)],
        created_at=person.created_at,
        updated_at=person.updated_at,
    )
