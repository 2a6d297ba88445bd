"""Test that `deliver` fills the suppression list from outcomes, and adds tracking where the type enables it."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from domain.evidence import CallResult
from domain.messages import NoCallResult
from domain.reasons import reason_line
from domain.statuses import DeliveryStatus
from providers.outcomes import ProviderAcceptance, ProviderRefusal
from storage import receipts
from storage.database import Database
from storage.receipts import StoredReceipt
from tests.activities.conftest import ActivityWorker
from tests.storage.sends import DatabaseSend, open_database_tenant

pytestmark = pytest.mark.postgres


async def in_force(sent: DatabaseSend) -> list[tuple[str, str]]:
    rows = await sent.database_tenant.query(
        "SELECT reason, source FROM suppression WHERE tenant = :tenant AND lifted_at IS NULL",
        tenant=sent.database_tenant.tenant,
    )
    return [(row["reason"], row["source"]) for row in rows]


async def kinds(sent: DatabaseSend) -> list[str]:
    return [event["kind"] for event in sorted(await sent.rows("event"), key=lambda event: event["position"])]


async def test_a_refusal_because_of_an_opt_out_suppresses_the_address(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    activity_worker.sandbox.answer = ProviderRefusal(reason="opted_out")
    assert (await activity_worker.deliver(sent.call())).result is CallResult.REFUSED
    assert await in_force(sent) == [("opted_out", "sandbox")]
    assert await kinds(sent) == ["accepted", "rendered", "attempt_refused", "suppressed_address"]
    assert (await activity_worker.deliver(sent.call())).result is CallResult.REFUSED
    assert (await kinds(sent)).count("suppressed_address") == 1


async def test_a_refusal_that_the_workflow_records_suppresses_the_address(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await sent.claim()
    outcome = await activity_worker.deliver(sent.call())
    assert outcome.result is CallResult.UNKNOWN
    await sent.database_tenant.query(
        "UPDATE attempt SET state = 'submitting', evidence = NULL WHERE id = :id", id=sent.attempt()
    )
    refused = type(outcome)(result=CallResult.REFUSED, reason="opted_out")
    await activity_worker.record(sent.call(), refused)
    assert await in_force(sent) == [("opted_out", "sandbox")]


@pytest.mark.parametrize("reason", ["invalid_address", "refused_recipient", "mailbox_full"])
async def test_any_other_refusal_suppresses_nothing(
    activity_worker: ActivityWorker, sent: DatabaseSend, reason: str
) -> None:
    activity_worker.sandbox.answer = ProviderRefusal(reason=reason)
    await activity_worker.deliver(sent.call())
    assert await in_force(sent) == []


async def test_the_next_message_to_a_suppressed_address_is_stopped(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    activity_worker.sandbox.answer = ProviderRefusal(reason="opted_out")
    await activity_worker.deliver(sent.call())
    activity_worker.sandbox.calls.clear()
    outcome = await activity_worker.deliver((await sent.database_tenant.send()).call())
    assert (outcome.result, outcome.stopped_status) == (NoCallResult.STOPPED, DeliveryStatus.SKIPPED)
    assert reason_line(outcome.full_reason) == "suppressed (opted_out)"
    assert activity_worker.sandbox.calls == []


async def test_a_bounce_before_the_recorded_outcome_suppresses_in_one_transaction(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    message_id = f"early-{uuid4()}"
    early = StoredReceipt(
        id=uuid4(),
        provider="sandbox",
        kind="bounced",
        attempt_id=None,
        provider_message_id=message_id,
        reason="invalid_address",
        occurred_at=datetime.now(UTC),
        raw={},
    )
    async with sent.database_tenant.database.transaction() as session:
        await receipts.store(session, [early])
    activity_worker.sandbox.answer = ProviderAcceptance(message_id=message_id)
    assert (await activity_worker.deliver(sent.call())).result is CallResult.REFUSED
    assert await in_force(sent) == [("bounced", "sandbox")]
    assert (await kinds(sent))[-1] == "suppressed_address"


async def test_content_goes_out_tracked_and_stays_clean_in_the_record(
    activity_worker: ActivityWorker, database: Database
) -> None:
    database_tenant = await open_database_tenant(database, tracking={"opens": True, "clicks": True})
    sent = await database_tenant.send()
    html = '<body><a href="https://example.com/">x</a></body>'
    content = '{"subject": "Hi", "html": "' + html.replace('"', '\\"') + '"}'
    await database_tenant.query(
        "UPDATE delivery SET rendered_content = CAST(:content AS jsonb) WHERE id = :id",
        content=content,
        id=sent.delivery(),
    )
    await activity_worker.deliver(sent.call())
    [message] = activity_worker.sandbox.calls
    assert ("/t/c/" in message.content["html"], "/t/o/" in message.content["html"]) == (True, True)
    assert "https://example.com/" not in message.content["html"]
    [delivery] = await sent.rows("delivery")
    assert delivery["rendered_content"]["html"] == html
