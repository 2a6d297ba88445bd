"""Writing what changed: fenced by the revision, so that two writers never lose one another's change."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from domain.cancellation import cancel_notification
from domain.channels import Channel
from domain.evidence import AttemptState, Evidence
from domain.ledger import finish_notification, record_outcome, record_receipt
from domain.records import Ledger
from domain.statuses import DeliveryStatus
from storage.ledgers import LedgerChange, NotificationRef, amend, load, save
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, DatabaseTenant

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def sent(database_tenant: DatabaseTenant) -> DatabaseSend:
    """A call is under way."""
    sent = await database_tenant.send(Channel.EMAIL, Channel.SMS)
    await sent.claim()
    return sent


def answering(
    sent: DatabaseSend, state: AttemptState = AttemptState.ACCEPTED, channel: Channel = Channel.EMAIL
) -> LedgerChange:
    ident = sent.attempt(channel=channel)
    return lambda ledger: record_outcome(ledger, ledger.attempts[ident], state, NOW)


def reporting(sent: DatabaseSend, evidence: Evidence) -> LedgerChange:
    return lambda ledger: record_receipt(ledger, sent.attempt(), evidence, NOW, NOW)


async def amended(sent: DatabaseSend, change: LedgerChange, known: Ledger | None = None) -> Ledger:
    async with sent.database_tenant.database.transaction() as session:
        return await amend(session, sent.ref, change, known)


def as_stored(ledger: Ledger) -> Ledger:
    """Without what is not read back."""
    return replace(ledger, revision=0, events=())


async def test_a_written_ledger_is_read_back(sent: DatabaseSend) -> None:
    def change(ledger: Ledger) -> Ledger:
        accepted_attempt = replace(
            ledger.attempts[sent.attempt()],
            provider_message_id="m-1",
            provider_response={"status": "queued"},
            reason="why",
            error_type="temporary",
            cost="0.0125",
        )
        return cancel_notification(record_outcome(ledger, accepted_attempt, AttemptState.ACCEPTED, NOW), NOW)

    after = await amended(sent, change)
    read = await sent.ledger()
    assert as_stored(read) == as_stored(after)
    [attempt] = read.attempts.values()
    assert (attempt.sent_at, attempt.cost, attempt.finished_at) == (NOW, "0.0125", NOW)


async def test_a_change_shows_on_every_row_in_one_transaction(sent: DatabaseSend) -> None:
    await amended(sent, lambda ledger: finish_notification(answering(sent)(ledger), NOW))
    row = await sent.row()
    assert (row["status"], row["finished_at"], row["failure_reason"]) == ("SENT", NOW, None)
    shown = {d["channel"]: (d["status"], d["provider"], d["sent_at"]) for d in await sent.rows("delivery")}
    assert shown == {"email": ("SENT", "sandbox", NOW), "sms": ("FAILED", None, None)}
    assert await sent.statuses() == ["PENDING", "SENT"]


async def test_no_change_writes_nothing(sent: DatabaseSend) -> None:
    before = await sent.row()
    await amended(sent, lambda ledger: ledger)
    assert await sent.row() == before


async def test_a_stale_ledger_is_not_written(sent: DatabaseSend) -> None:
    stale = await sent.ledger()
    await amended(sent, reporting(sent, Evidence.OPENED))
    async with sent.database_tenant.database.transaction() as session:
        assert not await save(session, stale, finish_notification(stale, NOW))
    assert (await sent.row())["status"] == "OPENED"
    assert await sent.statuses() == ["PENDING", "OPENED"]


async def test_over_a_stale_ledger_the_change_is_made_again_on_the_row(sent: DatabaseSend) -> None:
    stale = await sent.ledger()
    await amended(sent, reporting(sent, Evidence.DELIVERED))
    after = await amended(sent, answering(sent), known=stale)
    [attempt] = after.attempts.values()
    assert (attempt.state, attempt.evidence) == (AttemptState.ACCEPTED, Evidence.DELIVERED)
    assert as_stored(await sent.ledger()) == as_stored(after)
    assert await sent.statuses() == ["PENDING", "DELIVERED"]


async def test_concurrent_writers_both_persist_with_one_event_each(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await amend(session, sent.ref, answering(sent))
        waiting = asyncio.create_task(amended(sent, reporting(sent, Evidence.DELIVERED)))
        await until_blocked(sent.database_tenant.database, waiting)
    await waiting
    [attempt] = (await sent.ledger()).attempts.values()
    assert (attempt.state, attempt.sent_at, attempt.delivered_at) == (AttemptState.ACCEPTED, NOW, NOW)
    assert await sent.statuses() == ["PENDING", "SENT", "DELIVERED"]
    kinds = [event["kind"] for event in await sent.rows("event")]
    assert sorted(kinds) == ["accepted", "delivered", "rendered", "rendered", "sent"]


async def test_a_locked_load_waits_for_a_concurrent_writer(sent: DatabaseSend) -> None:
    stale = await sent.ledger()
    await amended(sent, reporting(sent, Evidence.DELIVERED))
    async with sent.database_tenant.database.transaction() as session:
        await amend(session, sent.ref, answering(sent))
        waiting = asyncio.create_task(amended(sent, reporting(sent, Evidence.OPENED), known=stale))
        await until_blocked(sent.database_tenant.database, waiting)
    assert as_stored(await waiting) == as_stored(await sent.ledger())
    assert await sent.statuses() == ["PENDING", "DELIVERED", "OPENED"]


async def test_many_concurrent_writers_lose_nothing(database_tenant: DatabaseTenant) -> None:
    sent = await database_tenant.send()
    for number in range(1, 9):
        await sent.claim(number)

    def change(number: int) -> LedgerChange:
        state = AttemptState.UNKNOWN if number < 8 else AttemptState.ACCEPTED
        return lambda ledger: record_outcome(ledger, ledger.attempts[sent.attempt(number)], state, NOW)

    writers = [amended(sent, change(number)) for number in range(1, 9) for _ in range(2)]
    await asyncio.gather(*writers, *(amended(sent, reporting(sent, Evidence.OPENED)) for _ in range(3)))
    states = {attempt.number: attempt.state for attempt in (await sent.ledger()).attempts.values()}
    assert states == {**dict.fromkeys(range(1, 8), AttemptState.UNKNOWN), 8: AttemptState.ACCEPTED}
    row = await sent.row()
    assert row["status"] == "OPENED"
    statuses = await sent.statuses()
    assert statuses[-1] == "OPENED"
    assert len(statuses) == len(set(statuses))


async def test_a_delivery_shows_one_attempt_and_never_a_mixture(database_tenant: DatabaseTenant) -> None:
    """The provider of one attempt with the message id of another would send an operator to the wrong vendor."""
    sent = await database_tenant.send()
    await sent.claim(1)
    await sent.answer(AttemptState.ACCEPTED, "m-1", number=1)
    await sent.claim(2, provider="another")
    await sent.answer(AttemptState.UNKNOWN, None, number=2)
    await amended(sent, reporting(sent, Evidence.BOUNCED))
    [shown] = await sent.rows("delivery")
    assert (shown["provider"], shown["provider_message_id"]) == ("another", None)


async def test_a_response_blanked_by_an_erasure_stays_blank(sent: DatabaseSend) -> None:
    def change(ledger: Ledger) -> Ledger:
        accepted_attempt = replace(ledger.attempts[sent.attempt()], provider_response={"to": "ada@example.com"})
        return record_outcome(ledger, accepted_attempt, AttemptState.ACCEPTED, NOW)

    await amended(sent, change)
    for table in ("attempt", "delivery"):
        await sent.database_tenant.query(
            f"UPDATE {table} SET provider_response = NULL WHERE notification_id = :id", id=sent.id
        )
    await amended(sent, reporting(sent, Evidence.DELIVERED))
    assert [d["provider_response"] for d in await sent.rows("delivery") if d["channel"] == "email"] == [None]


async def test_a_notification_of_another_tenant_does_not_exist(sent: DatabaseSend) -> None:
    foreign = NotificationRef(notification_id=sent.id, tenant=uuid4())
    async with sent.database_tenant.database.transaction() as session:
        assert await load(session, foreign, lock=True) is None
        with pytest.raises(LookupError):
            await amend(session, foreign, lambda ledger: finish_notification(ledger, NOW))
    assert (await sent.row())["finished_at"] is None


async def test_the_rows_of_every_generation_are_there_with_their_generation(sent: DatabaseSend) -> None:
    first = await (await sent.database_tenant.send()).failed()
    again = await first.redriven()
    await again.claim()
    ledger = await again.ledger()
    assert {d.id: (d.generation, d.status) for d in ledger.deliveries.values()} == {
        first.delivery(): (1, DeliveryStatus.FAILED),
        again.delivery(): (2, DeliveryStatus.SENDING),
    }
    assert set(ledger.attempts) == {first.attempt(), again.attempt()}


async def test_evidence_of_an_earlier_generation_is_written_to_its_own_rows(sent: DatabaseSend) -> None:
    first = await (await sent.database_tenant.send()).failed()
    again = await first.redriven()
    await amended(again, reporting(first, Evidence.DELIVERED))
    shown = {row["generation"]: (row["status"], row["delivered_at"]) for row in await again.rows("delivery")}
    assert shown == {1: ("DELIVERED", NOW), 2: ("PENDING", None)}
    row = await again.row()
    assert (row["status"], row["generation"], row["finished_at"]) == ("DELIVERED", 2, None)
