"""Routes of the settings of a tenant, and of the secret that its webhooks are verified with."""

from dataclasses import asdict

from fastapi import APIRouter, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.schemas.settings import TenantChanges, TenantSettings, WebhookSecret
from domain.gates import GateReason
from domain.json_types import Json
from domain.names import FLUSH_CHANNEL
from domain.validation_issues import ValidationIssue, issue_at, raise_issues
from providers.webhook import derive_tenant_secret
from services import chat_rooms
from services.chat_rooms import ChatRooms
from services.contact_rules import ContactRules
from storage import audit, reconsiderations, tenants
from storage.statements import notify
from storage.tenants import TenantDefaults

router = APIRouter(route_class=AuthenticatedRoute)

CLEARABLE_FIELDS = ("frequency_cap", "phone_regions", "email_sender", "email_reply_to")


@router.get("/settings", tags=["settings"])
@scope("read")
async def get_settings(caller: CallerDep, container: ContainerDep) -> TenantSettings:
    """Return the defaults of the tenant's recipients, its limits, retention times, email mailboxes and chat rooms."""
    async with container.database.transaction() as session:
        return _view(
            await tenants.read_defaults(session, caller.tenant), await chat_rooms.read_rooms(session, caller.tenant)
        )


@router.patch("/settings", tags=["settings"])
@scope("manage")
async def patch_settings(changes: TenantChanges, caller: CallerDep, container: ContainerDep) -> TenantSettings:
    """Change settings. Null removes a member. Affected waiting notifications are checked again."""
    given = changes.model_dump(mode="json", exclude_unset=True)
    changed_fields = {name: value for name, value in given.items() if value is not None or name in CLEARABLE_FIELDS}
    async with container.database.transaction() as session:
        before = await tenants.read_defaults(session, caller.tenant, lock=True)
        after = TenantDefaults(
            **{name: changed_fields.get(name, getattr(before, name)) for name in TenantDefaults.__slots__}
        )
        raise_issues(_find_issues(ContactRules.of(container.settings, caller), changed_fields, after))
        await tenants.save_defaults(session, caller.tenant, after)
        rooms = rooms_before = await chat_rooms.read_rooms(session, caller.tenant)
        if "chat_rooms" in given:
            rooms = await chat_rooms.change_rooms(session, caller.tenant, rooms_before, changes.chat_rooms)
        audited = (asdict(before) | rooms_before.audited_values, asdict(after) | rooms.audited_values)
        await audit.record_change(session, caller.change("settings.changed", "settings", *audited))
        if after.timezone != before.timezone:
            await reconsiderations.apply_timezone_changes(session, caller.tenant, None)
        if after.frequency_cap != before.frequency_cap:
            await reconsiderations.reconsider(session, caller.tenant, None, (GateReason.FREQUENCY_CAPPED,))
        await notify(session, FLUSH_CHANNEL)
    container.catalog.flush()
    return _view(after, rooms)


@router.get("/webhook-secret", tags=["webhooks"])
@scope("manage")
async def get_webhook_secret(caller: CallerDep, container: ContainerDep, response: Response) -> WebhookSecret:
    """Return the secret that verifies webhooks. It changes only with the secret key of the installation."""
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecret(secret=derive_tenant_secret(container.settings.secret, caller.tenant))


def _find_issues(rules: ContactRules, changed_fields: Json, after: TenantDefaults) -> list[ValidationIssue]:
    issues = [
        issue
        for name in ("email_sender", "email_reply_to")
        for issue in rules.find_mailbox_issues(changed_fields.get(name), name)
    ]
    if after.record_days < after.content_days:
        issues.append(issue_at("/record_days", "must not be less than content_days"))
    return issues


def _view(defaults: TenantDefaults, rooms: ChatRooms) -> TenantSettings:
    return TenantSettings.model_validate(
        {
            **{name: getattr(defaults, name) for name in TenantDefaults.__slots__},
            "chat_rooms": {name: {"chat_service": service} for name, service in rooms.services.items()},
        }
    )
