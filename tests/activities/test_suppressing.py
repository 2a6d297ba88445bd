"""`deliver` fills the suppression list from what it is told, and goes out tracked where the type says so."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from domain.messages import Result
from domain.reasons import line
from domain.statuses import DeliveryStatus
from providers.outcomes import Accepted, Refused
from storage import receipts
from storage.database import Database
from storage.receipts import StoredReceipt
from tests.activities.conftest import Counter
from tests.storage.sends import Sent, open_desk

pytestmark = pytest.mark.postgres


async def in_force(sent: Sent) -> list[tuple[str, str]]:
    rows = await sent.desk.query(
        "SELECT reason, source FROM suppression WHERE tenant = :tenant AND lifted_at IS NULL", tenant=sent.desk.tenant
    )
    return [(row["reason"], row["source"]) for row in rows]


async def kinds(sent: Sent) -> list[str]:
    return [event["kind"] for event in sorted(await sent.rows("event"), key=lambda event: event["position"])]


async def test_a_refusal_because_of_an_opt_out_suppresses_the_address(counter: Counter, sent: Sent) -> None:
    counter.sandbox.answer = Refused(reason="opted_out")
    assert (await counter.deliver(sent.call())).result is Result.REFUSED
    assert await in_force(sent) == [("opted_out", "sandbox")]
    assert await kinds(sent) == ["accepted", "rendered", "attempt_refused", "suppressed_address"]
    assert (await counter.deliver(sent.call())).result is Result.REFUSED
    assert (await kinds(sent)).count("suppressed_address") == 1


async def test_so_does_one_that_the_workflow_has_to_record(counter: Counter, sent: Sent) -> None:
    await sent.claim()
    told = await counter.deliver(sent.call())
    assert told.result is Result.UNKNOWN
    await sent.desk.query("UPDATE attempt SET state = 'submitting', evidence = NULL WHERE id = :id", id=sent.attempt())
    refused = type(told)(result=Result.REFUSED, reason="opted_out")
    await counter.record(sent.call(), refused)
    assert await in_force(sent) == [("opted_out", "sandbox")]


@pytest.mark.parametrize("reason", ["invalid_address", "refused_recipient", "mailbox_full"])
async def test_any_other_refusal_suppresses_nothing(counter: Counter, sent: Sent, reason: str) -> None:
    counter.sandbox.answer = Refused(reason=reason)
    await counter.deliver(sent.call())
    assert await in_force(sent) == []


async def test_the_next_message_to_a_suppressed_address_is_stopped(counter: Counter, sent: Sent) -> None:
    counter.sandbox.answer = Refused(reason="opted_out")
    await counter.deliver(sent.call())
    counter.sandbox.calls.clear()
    told = await counter.deliver((await sent.desk.send()).call())
    assert (told.result, told.stopped_as) == (Result.STOPPED, DeliveryStatus.SKIPPED)
    assert line(told.why) == "suppressed (opted_out)"
    assert counter.sandbox.calls == []


async def test_a_bounce_before_our_own_record_suppresses_in_the_same_transaction(counter: Counter, sent: Sent) -> None:
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
    async with sent.desk.database.transaction() as session:
        await receipts.store(session, [early])
    counter.sandbox.answer = Accepted(message_id=message_id)
    assert (await counter.deliver(sent.call())).result is Result.REFUSED
    assert await in_force(sent) == [("bounced", "sandbox")]
    assert (await kinds(sent))[-1] == "suppressed_address"


async def test_content_goes_out_tracked_and_stays_clean_in_the_record(counter: Counter, database: Database) -> None:
    desk = await open_desk(database, tracking={"opens": True, "clicks": True})
    sent = await desk.send()
    html = '<body><a href="https://example.com/">x</a></body>'
    content = '{"subject": "Hi", "html": "' + html.replace('"', '\\"') + '"}'
    await desk.query(
        "UPDATE delivery SET rendered_content = CAST(:content AS jsonb) WHERE id = :id",
        content=content,
        id=sent.delivery(),
    )
    await counter.deliver(sent.call())
    [message] = counter.sandbox.calls
    assert ("/t/c/" in message.content["html"], "/t/o/" in message.content["html"]) == (True, True)
    assert "https://example.com/" not in message.content["html"]
    [delivery] = await sent.rows("delivery")
    assert delivery["rendered_content"]["html"] == html
