"""Check that an erasure in the middle of sends leaves no data in tables, in Temporal's store or in the log."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api_tenants import ApiTenant, open_api_tenant
from tests.captured_logs import capture_log
from tests.engine import Engine, later
from tests.polling import eventually
from tests.storage.plain_text import tables_containing
from tests.stories.test_digests import flush
from tests.stories.workflow_data import list_workflows, read_workflow_data

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

RECIPIENT_CANARY, PHONE_CANARY = "erin-canary", "447700900876"
RECIPIENT_ID = f"{RECIPIENT_CANARY}@example.com"  # also the recipient's email address
FORMER_EMAIL = f"{RECIPIENT_CANARY}+refuse@example.com"
CONTENT: dict[str, Any] = {"payload": {"name": RECIPIENT_CANARY}, "tags": [RECIPIENT_CANARY]}
QUIET_ALL_DAY = {"quiet_hours": {"start": "00:00", "end": "23:59"}}


@dataclass(frozen=True)
class ErasureRecord:
    """Hold the tables that named the recipient before, the ids of sends by their state at the erasure, and the log."""

    api_tenant: ApiTenant
    tables_before: set[str]
    sends: dict[str, str]
    log: str


async def prepare_tenant(api_tenant: ApiTenant) -> None:
    for channel in ("email", "sms", "push", "webhook", "chat", "in_app"):
        await api_tenant.put_type(f"by-{channel}", [channel])
    await api_tenant.put_type("collected", ["email"], digest={"window": "1h"})
    await api_tenant.call("PUT", "/event-endpoints/audit", {"url": "http://127.0.0.1:9/"})
    await api_tenant.put_recipient("bob", email="bob@example.com")
    await api_tenant.put_recipient(
        RECIPIENT_ID,
        email=FORMER_EMAIL,
        phone=f"+{PHONE_CANARY}",
        webhook_url=f"https://hooks.example.com/{RECIPIENT_CANARY}",
        chat_url=f"https://hooks.slack.com/services/T1/B1/{RECIPIENT_CANARY}",
    )
    await api_tenant.put_device(RECIPIENT_ID, "phone", f"{RECIPIENT_CANARY}-token")
    await api_tenant.call("PUT", f"/topics/news/subscribers/{RECIPIENT_ID}")
    own_audience, shared_audience = (
        {"recipient_id": RECIPIENT_ID, "timezone": "recipient"},
        {"recipients": ["bob", RECIPIENT_ID], "timezone": "UTC"},
    )
    quoting_content = {
        "payload": {"name": RECIPIENT_ID, "text": f"Call +{PHONE_CANARY}"},
        "tags": [f"for-{RECIPIENT_ID}"],
    }
    for key, fields in (("own", own_audience | CONTENT), ("shared", shared_audience | quoting_content)):
        schedule = {"notification_type": "by-email", "cron": "0 9 1 1 *", **fields}
        await api_tenant.call("PUT", f"/schedules/{key}", schedule)


async def send_all(api_tenant: ApiTenant) -> dict[str, str]:
    """Send one notification per state, each with an idempotency key that contains the recipient's name."""

    async def send(notification_type: str, state: str, **fields: Any) -> str:
        return await api_tenant.send(
            notification_type, RECIPIENT_ID, key=f"{RECIPIENT_CANARY}-{state}", **CONTENT, **fields
        )

    sends = {"dead_letter": await send("by-email", "dead_letter")}
    await api_tenant.wait_for_end(sends["dead_letter"], "FAILED")
    await api_tenant.call("PATCH", f"/recipients/{RECIPIENT_ID}", {"email": RECIPIENT_ID})
    for channel in ("push", "webhook", "chat", "in_app"):
        sends[channel] = await send(f"by-{channel}", channel)
        await api_tenant.wait_for_end(sends[channel], "DELIVERED", "SENT")
    sends["scheduled"] = await send("by-email", "scheduled", send_at=later(86_400))
    sends["collected"] = await send("collected", "collected")
    await eventually(lambda: api_tenant.notification(sends["collected"]), lambda found: found["digest"] is not None)
    await api_tenant.call("POST", "/channels/sms/pause")
    sends["held"] = await send("by-sms", "held")
    await eventually(lambda: api_tenant.notification(sends["held"]), lambda found: "held" in str(found["timeline"]))
    await api_tenant.call("PUT", f"/recipients/{RECIPIENT_ID}/preferences", QUIET_ALL_DAY)
    sends["waiting"] = await send("by-email", "waiting")
    await eventually(
        lambda: api_tenant.notification(sends["waiting"]), lambda found: found["waits_for"] == "quiet_hours"
    )
    return sends


@pytest.fixture(scope="module")
async def erasure(engine: Engine) -> AsyncIterator[ErasureRecord]:
    async with open_api_tenant(engine) as api_tenant:
        with capture_log() as log:
            await prepare_tenant(api_tenant)
            sends = await send_all(api_tenant)
            await api_tenant.call("POST", "/suppressions", {"channel": "email", "address": FORMER_EMAIL})
            tables_before = set(await find_canary_rows(engine))
            await api_tenant.call("DELETE", f"/recipients/{RECIPIENT_ID}")
            await flush(api_tenant, 1)
            for id in sends.values():
                await api_tenant.wait_until_finished(id)
            logging.getLogger("test").warning("the log is read")
        yield ErasureRecord(api_tenant, tables_before, sends, log.getvalue())


async def find_canary_rows(engine: Engine) -> dict[str, list[str]]:
    return await tables_containing(engine.container.database, RECIPIENT_CANARY, PHONE_CANARY)


async def test_no_table_contains_data_of_an_erased_recipient(engine: Engine, erasure: ErasureRecord) -> None:
    assert erasure.tables_before >= {
        *("recipient", "notification", "digest", "queue_entry", "suppression", "schedule", "schedule_occurrence"),
        *("topic_subscriber", "user_preference", "delivery", "inbox_message", "sandbox_message", "event_message"),
    }
    await eventually(lambda: find_canary_rows(engine), lambda rows: rows == {})


async def test_an_erasure_cancels_sends_in_progress_and_keeps_their_rows(erasure: ErasureRecord) -> None:
    notifications = {state: await erasure.api_tenant.notification(id) for state, id in erasure.sends.items()}
    canceled = {state for state, notification in notifications.items() if notification["status"] == "CANCELED"}
    assert canceled == {"scheduled", "collected", "held", "waiting"}
    assert {notification["recipient_id"].partition("-")[0] for notification in notifications.values()} == {"erased"}
    assert (await erasure.api_tenant.call("GET", "/schedules/shared"))["recipients"] == ["bob"]


async def test_temporal_and_the_log_contain_no_data_of_an_erased_recipient(
    engine: Engine, erasure: ErasureRecord
) -> None:
    key = erasure.api_tenant.tenant_key
    ids = await eventually(lambda: list_workflows(engine, key), lambda ids: len(ids) >= len(erasure.sends))
    await engine.temporal.get_workflow_handle(next(id for id in ids if id.startswith("digest-"))).terminate()
    stored_by_workflow = await asyncio.gather(*(read_workflow_data(engine, id) for id in ids))
    assert all(id.encode() in stored for id, stored in zip(ids, stored_by_workflow, strict=True)), (
        "the search finds nothing"
    )
    canaries = [canary.encode() for canary in (RECIPIENT_CANARY, PHONE_CANARY)]
    assert [canary for canary in canaries if any(canary in stored.lower() for stored in stored_by_workflow)] == []
    assert "the log is read" in erasure.log
    assert RECIPIENT_CANARY not in erasure.log
    assert PHONE_CANARY not in erasure.log
