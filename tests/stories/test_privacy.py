"""Check that personal data is neither in Temporal's store nor in the log, for every way in which a send can end."""

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from domain.names import tick_schedule
from services import planning
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.captured_logs import capture_log
from tests.engine import Engine
from tests.polling import eventually
from tests.stories.workflow_data import list_workflows, read_schedule, read_workflow_data

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

CANARIES = {
    "e-mail": "canary-mail",
    "phone": "44770090",
    "name": "Canary-Name",
    "payload": "canary-payload",
    "token": "canary-token",
    "webhook": "canary-hook",
    "chat": "canary-chat",
    "tag": "canary-tag",
    "recipient id": "canary-recipient",
    "part of a digest": "canary-part",
}
CHANNELS = ("email", "sms", "push", "webhook", "chat", "in_app")
PREFIXES = {"notification", "digest", "tick"}
PHONE_DIGITS = {"good": "0100", "refuse": "0001", "error": "0002", "open": "0009"}


def find_canaries(text: str | bytes) -> set[str]:
    raw = text.encode() if isinstance(text, str) else text
    return {name for name, canary in CANARIES.items() if canary.encode().lower() in raw.lower()}


SEND_FIELDS: dict[str, Any] = {
    "payload": {"name": CANARIES["name"], "code": CANARIES["payload"], "part": CANARIES["part of a digest"]},
    "tags": [CANARIES["tag"]],
}


async def send_by_every_channel(api_tenant: ApiTenant) -> list[str]:
    """Send by every channel: delivered, refused, retried, with a template error, expired."""
    for channel in CHANNELS:
        await api_tenant.put_type(f"by-{channel}", [channel], give_up_after="2s")
        await api_tenant.add_template(f"bad-{channel}", channel, "{{ code | round }}{{ 1 // 0 }}")
        route = {"route": [{"channels": [channel]}], "templates": {channel: f"bad-{channel}"}}
        await api_tenant.call("PUT", f"/notification-types/bad-{channel}", route)
    for behavior in PHONE_DIGITS:
        await _put_recipient(api_tenant, behavior)
    keys = [f"{prefix}-{channel}" for channel in CHANNELS for prefix in ("by", "bad")]
    sends = [
        api_tenant.send(key, recipient_id_for(behavior), **SEND_FIELDS) for key in keys for behavior in PHONE_DIGITS
    ]
    sends.append(api_tenant.send("by-email", recipient_id_for("error"), expires_in="1s", **SEND_FIELDS))
    return list(await asyncio.gather(*sends))


DIGEST_RULES: dict[str, dict[str, str]] = {
    "by-window": {"window": "2s", "key": "part"},
    "by-calendar": {"schedule": "0 9 * * *", "key": "part"},
}
THROTTLES = {"by-drop": {"limit": 1, "per": "1h"}, "by-defer": {"limit": 1, "per": "12s", "on_exceed": "defer"}}


async def send_with_time_rules(api_tenant: ApiTenant) -> list[str]:
    """Send notifications that are collected, dropped or deferred by a throttle, or held in quiet hours."""
    for key, rule in DIGEST_RULES.items():
        await api_tenant.add_template(
            key, "email", "{{ total }}, {{ items[0].code }}", subject_template="{{ items[0].name }}"
        )
        route = {"route": [{"channels": ["email"]}], "templates": {"email": key}}
        await api_tenant.call("PUT", f"/notification-types/{key}", {**route, "digest": rule})
    for key, throttle in THROTTLES.items():
        await api_tenant.put_type(key, ["email"], throttle=throttle)
    ids = [
        await api_tenant.send(key, recipient_id_for("good"), **SEND_FIELDS)
        for key in (*DIGEST_RULES, *THROTTLES, *THROTTLES)
    ]
    ids.append(await send_in_quiet_hours(api_tenant))
    await eventually(lambda: api_tenant.notification(ids[1]), lambda found: found["digest"] is not None)
    await make_due_and_tick(api_tenant, "digest", "closes_at", "by-calendar")
    collected = [await api_tenant.wait_for_end(id, "DIGESTED") for id in ids[: len(DIGEST_RULES)]]
    return ids + [str(item["digest"]["notification_id"]) for item in collected]


async def send_in_quiet_hours(api_tenant: ApiTenant) -> str:
    await _put_recipient(api_tenant, "quiet")
    preferences = f"/recipients/{recipient_id_for('quiet')}/preferences"
    await api_tenant.call("PUT", preferences, {"quiet_hours": {"start": "00:00", "end": "23:59"}})
    id = await api_tenant.send("by-email", recipient_id_for("quiet"), **SEND_FIELDS)
    await eventually(lambda: api_tenant.notification(id), lambda found: found["waits_for"] == "quiet_hours")
    await api_tenant.call("PUT", preferences, {"quiet_hours": None})
    return id


async def send_by_schedules(api_tenant: ApiTenant) -> list[str]:
    """Send by a schedule to a list, and by a schedule to a topic at each subscriber's own time."""
    await api_tenant.put_type("recurring", ["email"])
    await api_tenant.call("PUT", f"/topics/weekly/subscribers/{recipient_id_for('good')}")
    targets: list[dict[str, Any]] = [
        {"timezone": "UTC", "recipients": [recipient_id_for("good"), recipient_id_for("refuse")]},
        {"timezone": "recipient", "topic": "weekly"},
    ]
    for number, target in enumerate(targets):
        body = {"notification_type": "recurring", "cron": "0 9 * * *", **SEND_FIELDS, **target}
        await api_tenant.call("PUT", f"/schedules/schedule-{number}", body)
    await make_due_and_tick(api_tenant, "schedule_occurrence", "due_at", "recurring")
    path = "/notifications?notification_type=recurring"
    page = await eventually(lambda: api_tenant.call("GET", path), lambda page: len(page["items"]) == 3)
    return [str(item["id"]) for item in page["items"]]


async def make_due_and_tick(api_tenant: ApiTenant, table: str, column: str, notification_type: str) -> None:
    await api_tenant.engine.sql(
        f"UPDATE {table} SET {column} = now() - interval '1 minute' WHERE tenant = :id", id=api_tenant.tenant
    )
    await api_tenant.trigger_tick(notification_type)


def recipient_id_for(behavior: str) -> str:
    return f"{CANARIES['recipient id']}-{behavior}"


async def _put_recipient(api_tenant: ApiTenant, behavior: str) -> None:
    await api_tenant.put_recipient(
        recipient_id_for(behavior),
        email=f"{CANARIES['e-mail']}+{behavior}@example.com",
        phone=f"+{CANARIES['phone']}{PHONE_DIGITS.get(behavior, PHONE_DIGITS['good'])}",
        webhook_url=f"https://hooks.example.com/{CANARIES['webhook']}/{behavior}",
        chat_url=f"https://hooks.slack.com/services/T1/B1/{CANARIES['chat']}-{behavior}",
        attributes={"nickname": CANARIES["name"]},
        locale="en",
    )
    await api_tenant.put_device(recipient_id_for(behavior), "phone", f"{CANARIES['token']}-{behavior}")


def prefixes(workflow_ids: set[str]) -> set[str]:
    return {id.partition("-")[0] for id in workflow_ids}


@dataclass(frozen=True)
class PrivateSends:
    """Hold the finished notifications by their id, the log, and the tenant."""

    notifications: dict[str, dict[str, Any]]
    log: str
    tenant: UUID
    tenant_key: str


@pytest.fixture(scope="module")
async def private_sends(engine: Engine) -> PrivateSends:
    async with open_api_tenant(engine) as api_tenant:
        with capture_log() as log:
            ids = await send_by_every_channel(api_tenant)
            ids += await send_with_time_rules(api_tenant) + await send_by_schedules(api_tenant)
            notifications = {id: await api_tenant.wait_until_finished(id) for id in ids}
            await api_tenant.http.post("/notifications/send", json={"recipient": {"email": CANARIES["e-mail"]}})
            logging.getLogger("test").warning("the log is read")
        return PrivateSends(notifications, log.getvalue(), api_tenant.tenant, api_tenant.tenant_key)


async def test_the_sends_cover_all_channels_waits_and_results(private_sends: PrivateSends) -> None:
    notifications = private_sends.notifications.values()
    assert {notification["status"] for notification in notifications} >= {"FAILED", "EXPIRED", "DIGESTED", "SUPPRESSED"}
    entries = [entry for notification in notifications for entry in notification["timeline"]]
    assert {entry["reason"] for entry in entries if entry["kind"] == "waiting"} == {"quiet_hours", "throttled"}
    deliveries = [delivery for notification in notifications for delivery in notification["deliveries"]]
    assert {delivery["channel"] for delivery in deliveries if delivery["sent_at"]} == set(CHANNELS)
    assert {reason for notification in notifications if (reason := notification["failure_reason"])} >= {
        "email: refused_recipient",
        "push: template_error: a value does not fit the operation, filter or function it is used with in body, line 1",
    }
    assert any(
        str(notification["failure_reason"]).startswith("sms: retries_exhausted") for notification in notifications
    )


async def test_temporal_stores_no_personal_data(engine: Engine, private_sends: PrivateSends) -> None:
    expected = {
        notification["workflow_id"]
        for notification in private_sends.notifications.values()
        if notification["status"] != "DIGESTED"
    }
    listed = await eventually(
        lambda: list_workflows(engine, private_sends.tenant_key), lambda ids: prefixes(ids) == PREFIXES
    )
    # Temporal lists eventually, and serves an id at once.
    ids = expected | listed
    stored = dict(zip(ids, await asyncio.gather(*(read_workflow_data(engine, id) for id in ids)), strict=True))
    for id in (tick_schedule(private_sends.tenant, key) for key in ("by-calendar", "recurring")):
        stored[id] = await read_schedule(engine, id)
    assert all(id.encode() in data for id, data in stored.items()), "the search finds nothing"
    assert {id: names for id, data in stored.items() if (names := find_canaries(data))} == {}


async def test_the_log_contains_no_personal_data(private_sends: PrivateSends) -> None:
    assert json.loads(private_sends.log.splitlines()[-1])["event"] == "the log is read"
    assert find_canaries(private_sends.log) == set()


async def test_the_error_of_a_bug_contains_no_personal_data(
    engine: Engine, api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_with_data(*_: object) -> None:
        raise ValueError(f"{CANARIES['e-mail']} is not what was expected")

    await api_tenant.put_type("news", ["email"])
    await _put_recipient(api_tenant, "good")
    monkeypatch.setattr(planning, "read_recipient_context", raise_with_data)
    with capture_log() as log:
        id = await api_tenant.send("news", recipient_id_for("good"))
        await api_tenant.wait_until_finished(id)
        stored = await read_workflow_data(engine, engine.workflow(id).id)
    assert b"ValueError" in stored
    assert find_canaries(stored) == set()
    assert "ValueError" in log.getvalue()
    assert find_canaries(log.getvalue()) == set()
