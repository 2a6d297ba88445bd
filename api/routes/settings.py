"""Routes of the settings of a tenant, and of the secret that its webhooks are verified with."""

from dataclasses import asdict

from fastapi import APIRouter, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.problems import invalid
from api.schemas.settings import TenantChanges, TenantSettings, WebhookSecret
from domain.gates import GateReason
from domain.names import FLUSH_CHANNEL
from domain.validation_issues import issue_at
from providers.webhook import derive_tenant_secret
from services.contact_rules import ContactRules
from storage import audit, reconsiderations, tenants
from storage.statements import notify
from storage.tenants import TenantDefaults

router = APIRouter(route_class=AuthenticatedRoute)

CLEARABLE_FIELDS = ("frequency_cap", "phone_regions", "email_sender", "email_reply_to")


@router.get("/settings", tags=["settings"])
@scope("read")
async def get_settings(caller: CallerDep, container: ContainerDep) -> TenantSettings:
    """Return the defaults of the tenant's recipients, its limits, retention times and email mailboxes."""
    async with container.database.transaction() as session:
        return _view(await tenants.read_defaults(session, caller.tenant))


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
        rules = ContactRules.of(container.settings, caller)
        if issues := [
            issue
            for name in ("email_sender", "email_reply_to")
            for issue in rules.find_mailbox_issues(changed_fields.get(name), name)
        ]:
            raise invalid(*issues)
        if after.record_days < after.content_days:
            raise invalid(issue_at("/record_days", "must not be less than content_days"))
        await tenants.save_defaults(session, caller.tenant, after)
        await audit.record_change(session, caller.change("settings.changed", "settings", asdict(before), asdict(after)))
        if after.timezone != before.timezone:
            await reconsiderations.apply_timezone_changes(session, caller.tenant, None)
        if after.frequency_cap != before.frequency_cap:
            await reconsiderations.reconsider(session, caller.tenant, None, (GateReason.FREQUENCY_CAPPED,))
        await notify(session, FLUSH_CHANNEL)
    container.catalog.flush()
    return _view(after)


@router.get("/webhook-secret", tags=["webhooks"])
@scope("manage")
async def get_webhook_secret(caller: CallerDep, container: ContainerDep, response: Response) -> WebhookSecret:
    """Return the secret that verifies webhooks. It changes only with the secret key of the installation."""
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecret(secret=derive_tenant_secret(container.settings.secret, caller.tenant))


def _view(choices: TenantDefaults) -> TenantSettings:
    return TenantSettings.model_validate({name: getattr(choices, name) for name in TenantDefaults.__slots__})
