"""The requests that change configuration, in an order in which each succeeds, with their entries in the audit log."""

from dataclasses import dataclass
from typing import Any

from domain.json_types import Json

TEMPLATES = "template/n/sms/en"
TEMPLATE = {"name": "n", "channel": "sms", "language": "en", "body_template": "Hi", "publish": True}
PLACE = {"channel": "sms", "language": "en"}
KIND: Json = {"route": [{"channels": ["sms"]}], "templates": {"sms": "n"}}
HOOK = "https://hooks.example.com/t0ken-xyzzy"
SCHEDULE: Json = {
    "notification_type": "k",
    "payload": {"code": "canary-xyzzy"},
    "recipient_id": "canary-xyzzy",
    "cron": "0 9 * * *",
    "timezone": "UTC",
}
YESTERDAY = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}


@dataclass(frozen=True)
class AuditedStep:
    """One request. `path` may contain `{id}`: the id in the response of the previous step."""

    route: str
    action: str
    subject: str
    path: str = ""
    body: Any = None


STEPS = [
    AuditedStep("POST /templates", "template.saved", TEMPLATES, body=TEMPLATE),
    AuditedStep("POST /templates", "template.saved", TEMPLATES, body={**TEMPLATE, "body_template": "Ho"}),
    AuditedStep("POST /templates/{name}/rollback", "template.rolled_back", TEMPLATES, "/templates/n/rollback", PLACE),
    AuditedStep(
        "POST /templates/{name}/publish",
        "template.published",
        TEMPLATES,
        "/templates/n/publish",
        {**PLACE, "version": 2},
    ),
    AuditedStep(
        "PUT /notification-types/{key}", "notification_type.saved", "notification_type/k", "/notification-types/k", KIND
    ),
    *(
        AuditedStep(f"POST {route}/{verb}", f"{word}.{verb}d", f"{word}/{name}", f"{path}/{verb}")
        for route, path, word, name in (
            ("/notification-types/{key}", "/notification-types/k", "notification_type", "k"),
            ("/channels/{channel}", "/channels/sms", "channel", "sms"),
            ("/providers/{name}", "/providers/sandbox", "provider", "sandbox"),
        )
        for verb in ("pause", "resume")
    ),
    AuditedStep("PATCH /settings", "settings.changed", "settings", body={"timezone": "Europe/Vienna"}),
    AuditedStep(
        "PUT /event-endpoints/{key}", "event_endpoint.saved", "event_endpoint/e", "/event-endpoints/e", {"url": HOOK}
    ),
    AuditedStep(
        "POST /event-endpoints/{key}/rotate-secret",
        "event_endpoint.secret_rotated",
        "event_endpoint/e",
        "/event-endpoints/e/rotate-secret",
    ),
    AuditedStep(
        "POST /event-endpoints/{key}/replay",
        "event_endpoint.replayed",
        "event_endpoint/e",
        "/event-endpoints/e/replay",
        {"since": "2026-01-01T00:00:00Z"},
    ),
    AuditedStep("DELETE /event-endpoints/{key}", "event_endpoint.deleted", "event_endpoint/e", "/event-endpoints/e"),
    AuditedStep(
        "POST /suppressions",
        "suppression.added",
        "suppression/{id}",
        body={"channel": "email", "address": "canary-xyzzy@example.com"},
    ),
    AuditedStep("DELETE /suppressions/{id}", "suppression.lifted", "suppression/{id}", "/suppressions/{id}"),
    AuditedStep("PUT /schedules/{key}", "schedule.saved", "schedule/s", "/schedules/s", SCHEDULE),
    AuditedStep("POST /schedules/{key}/pause", "schedule.paused", "schedule/s", "/schedules/s/pause"),
    AuditedStep("POST /schedules/{key}/resume", "schedule.resumed", "schedule/s", "/schedules/s/resume"),
    AuditedStep("POST /schedules/{key}/trigger", "schedule.triggered", "schedule/s", "/schedules/s/trigger"),
    AuditedStep(
        "POST /schedules/{key}/backfill", "schedule.backfilled", "schedule/s", "/schedules/s/backfill", YESTERDAY
    ),
    AuditedStep("DELETE /schedules/{key}", "schedule.deleted", "schedule/s", "/schedules/s"),
    AuditedStep(
        "DELETE /notification-types/{key}", "notification_type.deleted", "notification_type/k", "/notification-types/k"
    ),
    AuditedStep("POST /keys", "key.created", "key/{id}", body={"name": "other", "scopes": ["read"]}),
    AuditedStep("POST /keys/{id}/rotate", "key.rotated", "key/{before}", "/keys/{id}/rotate", {"overlap": "1h"}),
    AuditedStep("DELETE /keys/{id}", "key.revoked", "key/{id}", "/keys/{id}"),
]
OPERATOR_STEPS = [
    AuditedStep("PATCH /providers/{name}", "provider.changed", "provider/sandbox", "/providers/sandbox", {"rate": 77}),
    AuditedStep("POST /tenants", "tenant.created", "tenant/{tenant}", body={"key": "{tenant}"}),
    AuditedStep(
        "POST /tenants/{key}/keys",
        "key.created",
        "key/{id}",
        "/tenants/{tenant}/keys",
        {"name": "first", "scopes": ["read", "manage"]},
    ),
    AuditedStep(
        "PUT /tenants/{key}/email-domains",
        "tenant.email_domains_set",
        "tenant/{tenant}",
        "/tenants/{tenant}/email-domains",
        {"email_domains": ["acme.example"]},
    ),
    AuditedStep("POST /tenants/{key}/suspend", "tenant.suspended", "tenant/{tenant}", "/tenants/{tenant}/suspend"),
    AuditedStep("POST /tenants/{key}/resume", "tenant.resumed", "tenant/{tenant}", "/tenants/{tenant}/resume"),
]
