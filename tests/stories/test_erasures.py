"""An erased recipient is in no table, not in Temporal's store and not in the log, whatever was on its way to them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.engine import ApiTenant, Engine, later, open_api_tenant
from tests.polling import eventually
from tests.storage.plain_text import tables_containing
from tests.stories.test_digests import flush
from tests.stories.test_privacy import kept_by_temporal, product_log, workflows_of

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

CANARY, PHONE = "erin-canary", "447700900876"
ERIN = f"{CANARY}@example.com"  # the recipient id, too
FORMER = f"{CANARY}+refuse@example.com"
CONTENT: dict[str, Any] = {"payload": {"name": CANARY}, "tags": [CANARY]}
UNTIL_ALL_DAY = {"quiet_hours": {"start": "00:00", "end": "23:59"}}


@dataclass(frozen=True)
class Erased:
    """What was found before and after, with the notifications by their state when the recipient was erased."""

    api_tenant: ApiTenant
    before: set[str]
    sends: dict[str, str]
    log: str


async def prepare(api_tenant: ApiTenant) -> None:
    for channel in ("email", "sms", "push", "webhook", "in_app"):
        await api_tenant.put_type(f"by-{channel}", [channel])
    await api_tenant.put_type("collected", ["email"], digest={"window": "1h"})
    await api_tenant.call("PUT", "/event-endpoints/audit", {"url": "http://127.0.0.1:9/"})
    await api_tenant.put_recipient("bob", email="bob@example.com")
    await api_tenant.put_recipient(
        ERIN, email=FORMER, phone=f"+{PHONE}", webhook_url=f"https://hooks.example.com/{CANARY}"
    )
    await api_tenant.put_device(ERIN, "phone", f"{CANARY}-token")
    await api_tenant.call("PUT", f"/topics/news/subscribers/{ERIN}")
    own, shared = {"recipient_id": ERIN, "timezone": "recipient"}, {"recipients": ["bob", ERIN], "timezone": "UTC"}
    quoting = {"payload": {"name": ERIN, "text": f"Call +{PHONE}"}, "tags": [f"for-{ERIN}"]}
    for key, more in (("own", own | CONTENT), ("shared", shared | quoting)):
        schedule = {"notification_type": "by-email", "cron": "0 9 1 1 *", **more}
        await api_tenant.call("PUT", f"/schedules/{key}", schedule)


async def send_all(api_tenant: ApiTenant) -> dict[str, str]:
    """One notification per state, each with an idempotency key that quotes the recipient."""

    async def send(kind: str, state: str, **more: Any) -> str:
        return await api_tenant.send(kind, ERIN, key=f"{CANARY}-{state}", **CONTENT, **more)

    sends = {"parked": await send("by-email", "parked")}
    await api_tenant.wait_for_end(sends["parked"], "FAILED")
    await api_tenant.call("PATCH", f"/recipients/{ERIN}", {"email": ERIN})
    for channel in ("push", "webhook", "in_app"):
        sends[channel] = await send(f"by-{channel}", channel)
        await api_tenant.wait_for_end(sends[channel], "DELIVERED", "SENT")
    sends["scheduled"] = await send("by-email", "scheduled", send_at=later(86_400))
    sends["collected"] = await send("collected", "collected")
    await eventually(lambda: api_tenant.notification(sends["collected"]), lambda shown: shown["digest"] is not None)
    await api_tenant.call("POST", "/channels/sms/pause")
    sends["held"] = await send("by-sms", "held")
    await eventually(lambda: api_tenant.notification(sends["held"]), lambda shown: "held" in str(shown["timeline"]))
    await api_tenant.call("PUT", f"/recipients/{ERIN}/preferences", UNTIL_ALL_DAY)
    sends["waiting"] = await send("by-email", "waiting")
    await eventually(
        lambda: api_tenant.notification(sends["waiting"]), lambda shown: shown["waits_for"] == "quiet_hours"
    )
    return sends


@pytest.fixture(scope="module")
async def erased(engine: Engine) -> AsyncIterator[Erased]:
    async with open_api_tenant(engine) as api_tenant:
        with product_log() as log:
            await prepare(api_tenant)
            sends = await send_all(api_tenant)
            await api_tenant.call("POST", "/suppressions", {"channel": "email", "address": FORMER})
            before = set(await found(engine))
            await api_tenant.call("DELETE", f"/recipients/{ERIN}")
            await flush(api_tenant, 1)
            for id in sends.values():
                await api_tenant.wait_until_finished(id)
            logging.getLogger("test").warning("the log is read")
        yield Erased(api_tenant, before, sends, log.getvalue())


async def found(engine: Engine) -> dict[str, list[str]]:
    return await tables_containing(engine.container.database, CANARY, PHONE)


async def test_no_table_quotes_an_erased_recipient(engine: Engine, erased: Erased) -> None:
    assert erased.before >= {
        *("recipient", "notification", "digest", "queue_entry", "suppression", "schedule", "schedule_occurrence"),
        *("topic_subscriber", "user_preference", "delivery", "inbox_message", "sandbox_message", "event_message"),
    }
    await eventually(lambda: found(engine), lambda rows: rows == {})


async def test_sends_in_progress_are_canceled_and_stay_counted(erased: Erased) -> None:
    ends = {state: await erased.api_tenant.notification(id) for state, id in erased.sends.items()}
    canceled = {state for state, end in ends.items() if end["status"] == "CANCELED"}
    assert canceled == {"scheduled", "collected", "held", "waiting"}
    assert {end["recipient_id"].partition("-")[0] for end in ends.values()} == {"erased"}
    assert (await erased.api_tenant.call("GET", "/schedules/shared"))["recipients"] == ["bob"]


async def test_temporal_and_the_log_quote_nothing_of_an_erased_recipient(engine: Engine, erased: Erased) -> None:
    key = erased.api_tenant.tenant_key
    ids = await eventually(lambda: workflows_of(engine, key), lambda ids: len(ids) >= len(erased.sends))
    await engine.temporal.get_workflow_handle(next(id for id in ids if id.startswith("digest-"))).terminate()
    kept = await asyncio.gather(*(kept_by_temporal(engine, id) for id in ids))
    assert all(id.encode() in everything for id, everything in zip(ids, kept, strict=True)), "the search is blind"
    quoted = [words for words in (CANARY, PHONE) if any(words.encode() in everything.lower() for everything in kept)]
    assert quoted == []
    assert "the log is read" in erased.log
    assert CANARY not in erased.log
    assert PHONE not in erased.log
