"""Routes of recipients: their profile and their erasure."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.problems import invalid, not_found
from api.routes.devices import device_view
from api.schemas.contact import RecipientId
from api.schemas.recipients import (
    ErasureAccepted,
    ErasureView,
    Profile,
    RecipientView,
    changes_of,
    profile_of,
)
from domain.chat_urls import chat_service_of
from domain.validation_issues import issue_at, raise_issues
from services.acceptance import ATTRIBUTES_TOO_LARGE
from services.contact_rules import ContactRules
from storage import devices, erasures, recipients, reconsiderations
from storage.recipients import RecipientProfile

router = APIRouter(route_class=AuthenticatedRoute, tags=["recipients"])

UNKNOWN = "There is no such recipient."


@contextmanager
def translate_attribute_limit() -> Iterator[None]:
    try:
        yield
    except recipients.AttributesTooLarge:
        raise invalid(issue_at("/attributes", ATTRIBUTES_TOO_LARGE)) from None


@router.put("/recipients/{recipient_id}", responses={201: {"model": RecipientView, "description": "Created"}})
@scope("manage")
async def put_recipient(
    recipient_id: RecipientId, profile: Profile, caller: CallerDep, container: ContainerDep, response: Response
) -> RecipientView:
    """Create or replace a profile. Devices and preferences stay unchanged."""
    raise_issues(ContactRules.of(container.settings, caller).find_profile_issues(profile_of(profile)))
    async with container.database.transaction() as session:
        with translate_attribute_limit():
            recipient, created = await recipients.replace_profile(
                session, caller.tenant, recipient_id, profile_of(profile)
            )
        await reconsiderations.apply_timezone_changes(session, caller.tenant, [recipient_id])
        view = await _view(session, caller.tenant, recipient)
    response.status_code = 201 if created else 200
    return view


@router.get("/recipients/{recipient_id}")
@scope("read")
async def get_recipient(recipient_id: RecipientId, caller: CallerDep, container: ContainerDep) -> RecipientView:
    """Return the profile with its devices, without their tokens."""
    async with container.database.transaction() as session:
        recipient = await recipients.find(session, caller.tenant, recipient_id)
        if recipient is None:
            raise not_found(UNKNOWN)
        return await _view(session, caller.tenant, recipient)


@router.patch("/recipients/{recipient_id}")
@scope("manage")
async def patch_recipient(
    recipient_id: RecipientId, profile: Profile, caller: CallerDep, container: ContainerDep
) -> RecipientView:
    """Merge a profile (RFC 7396): absent members stay, null clears, also inside `attributes`."""
    raise_issues(ContactRules.of(container.settings, caller).find_profile_issues(profile_of(profile)))
    async with container.database.transaction() as session:
        with translate_attribute_limit():
            recipient = await recipients.merge_profile(session, caller.tenant, recipient_id, changes_of(profile))
        if recipient is None:
            raise not_found(UNKNOWN)
        await reconsiderations.apply_timezone_changes(session, caller.tenant, [recipient_id])
        return await _view(session, caller.tenant, recipient)


@router.delete("/recipients/{recipient_id}", status_code=202)
@scope("manage")
async def erase_recipient(
    recipient_id: RecipientId, caller: CallerDep, container: ContainerDep, response: Response
) -> ErasureAccepted:
    """Erase a recipient and cancel open sends. More than 500 notifications are all erased after the response."""
    async with container.database.transaction() as session:
        erasure = await erasures.begin_erasure(session, caller.tenant, recipient_id)
    if erasure is None:
        raise not_found(UNKNOWN)
    response.headers["Location"] = f"/api/v1/erasures/{erasure.id}"
    return ErasureAccepted(erasure_id=erasure.id)


@router.get("/erasures/{id}")
@scope("read")
async def get_erasure(id: UUID, caller: CallerDep, container: ContainerDep) -> ErasureView:
    """Return the progress of an erasure. It does not identify the recipient. `finished_at` is null until it ends."""
    async with container.database.transaction() as session:
        erasure = await erasures.find(session, caller.tenant, id)
    if erasure is None:
        raise not_found("There is no such erasure.")
    return ErasureView(
        id=erasure.id, requested_at=erasure.requested_at, finished_at=erasure.finished_at, counts=erasure.counts
    )


async def _view(session: AsyncSession, tenant: UUID, recipient: RecipientProfile) -> RecipientView:
    return RecipientView(
        recipient_id=recipient.recipient_id,
        email=recipient.contact.get("email"),
        phone=recipient.contact.get("phone"),
        webhook_url=recipient.contact.get("webhook_url"),
        chat_service=chat_service_of(recipient.contact.get("chat_url")),
        locale=recipient.locale,
        timezone=recipient.timezone,
        attributes=recipient.attributes,
        devices=[device_view(device) for device in await devices.list_devices(session, tenant, recipient.recipient_id)],
        created_at=recipient.created_at,
        updated_at=recipient.updated_at,
    )
