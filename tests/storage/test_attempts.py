"""The write-ahead row of a call, and the facts that the guard decides by, under every race."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from domain.channels import Channel, DeviceKind
from domain.evidence import AttemptState
from domain.holds import HoldKind
from domain.routing import LastAttempt
from domain.suppressions import SuppressionReason
from storage import attempts, devices, erasures, holds, preferences, suppressions
from storage.attempts import LOCK_WAIT_MS, claim_attempt
from storage.database import Database
from storage.devices import NewDevice
from storage.preferences import read_recipient_context
from storage.suppressions import NewSuppression
from tests.polling import eventually
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres


async def test_a_new_claim_is_a_submitting_row_and_a_sending_delivery(sent: DatabaseSend) -> None:
    claim = await sent.claim()
    assert claim is not None
    assert claim.is_new
    [row] = await sent.rows("attempt")
    assert (row["id"], row["state"], row["provider"], row["number"]) == (sent.attempt(), "submitting", "sandbox", 1)
    assert row["finished_at"] is None
    assert [d["status"] for d in await sent.rows("delivery")] == ["SENDING"]


async def test_the_claim_holds_the_ledger_as_the_statement_left_it(sent: DatabaseSend) -> None:
    claim = await sent.claim()
    assert claim is not None
    assert claim.ledger == await sent.ledger()


async def test_a_claim_returns_the_input_of_the_call(sent: DatabaseSend) -> None:
    claim = await sent.claim()
    assert claim is not None
    assert (claim.recipient_id, claim.address.contact, claim.content) == (
        "ada",
        sent.database_tenant.contact,
        {"subject": "Hi"},
    )
    assert (claim.notification_type.id, claim.address.device) == (sent.database_tenant.type_id, None)


async def test_a_device_is_found_by_its_endpoint(database_tenant: DatabaseTenant) -> None:
    new = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": "t-1"})
    async with database_tenant.database.transaction() as session:
        saved = await devices.save(session, database_tenant.tenant, database_tenant.recipient_id, new)
    assert saved is not None
    sent = await database_tenant.send(Channel.PUSH)
    claim = await sent.claim(channel=Channel.PUSH, endpoint_id=str(saved[0].id))
    assert claim is not None
    assert claim.address.device == {"kind": "fcm", "token": "t-1"}


async def test_the_same_call_again_is_not_fresh_and_changes_nothing(sent: DatabaseSend) -> None:
    await sent.claim()
    before = await sent.row()
    again = await sent.claim()
    assert again is not None
    assert not again.is_new
    assert again.attempt.state is AttemptState.SUBMITTING
    assert await sent.row() == before
    assert len(await sent.rows("attempt")) == 1


async def test_the_next_attempt_is_fresh(sent: DatabaseSend) -> None:
    await sent.claim()
    await sent.answer(AttemptState.NOT_ACCEPTED)
    second = await sent.claim(2)
    assert second is not None
    assert second.is_new
    assert {a.number: a.state for a in second.ledger.attempts.values()} == {
        1: AttemptState.NOT_ACCEPTED,
        2: AttemptState.SUBMITTING,
    }


async def test_a_call_of_another_generation_gets_nothing(sent: DatabaseSend) -> None:
    assert await sent.claim(generation=2) is None
    assert await sent.rows("attempt") == []


async def test_a_call_of_another_tenant_gets_nothing(sent: DatabaseSend, database: Database) -> None:
    foreign = DatabaseSend(database_tenant=await open_database_tenant(database), id=sent.id, channels=sent.channels)
    assert await foreign.claim() is None
    assert await sent.rows("attempt") == []


async def test_an_erased_recipient_gets_no_call(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        assert await erasures.erase_at_once(session, sent.database_tenant.tenant, "ada")
    assert await sent.claim() is None
    assert await sent.rows("attempt") == []


async def test_a_rolled_back_claim_leaves_no_row(sent: DatabaseSend) -> None:
    before = await sent.row()
    async with sent.database_tenant.database.transaction() as session:
        assert await claim_attempt(session, sent.call()) is not None
        await session.rollback()
    assert await sent.rows("attempt") == []
    assert await sent.row() == before
    assert [d["status"] for d in await sent.rows("delivery")] == ["PENDING"]


async def test_a_concurrent_commit_reloads_the_ledger(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await session.execute(
            text("UPDATE notification SET cancel_requested_at = now(), revision = revision + 1 WHERE id = :id"),
            {"id": sent.id},
        )
        waiting = asyncio.create_task(sent.claim())
        await until_blocked(sent.database_tenant.database, waiting)
    claim = await waiting
    assert claim is not None
    assert claim.ledger.cancel_requested_at is not None
    assert claim.ledger == await sent.ledger()


async def test_an_opt_out_that_is_committed_while_the_guard_waits_is_seen(sent: DatabaseSend) -> None:
    database_tenant = sent.database_tenant
    async with database_tenant.database.transaction() as session:
        await preferences.save(session, database_tenant.tenant, "ada", {"email": False}, {}, None)
        waiting = asyncio.create_task(sent.claim())
        await until_blocked(database_tenant.database, waiting)
    claim = await waiting
    assert claim is not None
    assert claim.preferences.channels == {"email": False}


async def test_a_guard_that_waited_for_the_notification_sees_an_opt_out(sent: DatabaseSend) -> None:
    """Another lock than the opt-out's: the statement has taken its snapshot before the opt-out is committed."""
    database_tenant = sent.database_tenant
    async with database_tenant.database.transaction() as session:
        await session.execute(text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE"), {"id": sent.id})
        waiting = asyncio.create_task(sent.claim())
        await until_blocked(database_tenant.database, waiting)
        async with database_tenant.database.transaction() as other:
            await preferences.save(other, database_tenant.tenant, "ada", {"email": False}, {}, None)
    claim = await waiting
    assert claim is not None
    assert claim.preferences.channels == {"email": False}


async def suppress(sent: DatabaseSend) -> None:
    address = {"email": sent.database_tenant.contact["email"]}
    bounced = NewSuppression(
        channel=Channel.EMAIL,
        address_hash=sent.database_tenant.database.encryption.address_hash(
            sent.database_tenant.tenant, "email", address["email"]
        ),
        address=address,
        reason=SuppressionReason.BOUNCED,
        source="sandbox",
    )
    async with sent.database_tenant.database.transaction() as session:
        await suppressions.add(session, sent.database_tenant.tenant, bounced)


async def pause(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await holds.pause(session, sent.database_tenant.tenant, HoldKind.CHANNEL, "email", None)


async def test_a_pause_of_another_tenant_holds_no_call(sent: DatabaseSend, database: Database) -> None:
    await pause(await (await open_database_tenant(database)).send())
    claim = await sent.claim()
    assert claim is not None
    assert claim.hold is None


@pytest.mark.parametrize("change", [suppress, pause])
async def test_a_guard_that_waited_sees_a_suppression_and_a_pause(
    sent: DatabaseSend, change: Callable[[DatabaseSend], Awaitable[None]]
) -> None:
    """Neither locks a row that the guard locks, so the guard reads both again after its wait."""
    database = sent.database_tenant.database
    async with database.transaction() as session:
        await session.execute(text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE"), {"id": sent.id})
        waiting = asyncio.create_task(sent.claim())
        await until_blocked(database, waiting)
        await change(sent)
        await eventually(lambda: longest_wait(database), lambda waited: waited > 2 * LOCK_WAIT_MS)
    claim = await waiting
    assert claim is not None
    assert (claim.suppressed is not None, claim.hold is not None) == (change is suppress, change is pause)


@pytest.mark.parametrize("lock", ["notification", "preferences"])
@pytest.mark.parametrize("change", [suppress, pause])
async def test_a_guard_sees_them_after_any_wait_if_a_locked_row_changed(
    sent: DatabaseSend, change: Callable[[DatabaseSend], Awaitable[None]], lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopwatch = f"interval '{LOCK_WAIT_MS} milliseconds'"
    assert stopwatch in attempts.CLAIM_ATTEMPT.text
    monkeypatch.setattr(
        attempts, "CLAIM_ATTEMPT", text(attempts.CLAIM_ATTEMPT.text.replace(stopwatch, "interval '1 hour'"))
    )
    moves = {
        "notification": "UPDATE notification SET revision = revision + 1 WHERE id = :id",
        "preferences": "UPDATE user_preference SET quiet_hours = NULL WHERE tenant = :id",
    }
    async with sent.database_tenant.database.transaction() as session:
        await session.execute(
            text(moves[lock]), {"id": sent.id} if lock == "notification" else {"id": sent.database_tenant.tenant}
        )
        waiting = asyncio.create_task(sent.claim())
        await until_blocked(sent.database_tenant.database, waiting)
        await change(sent)
    claim = await waiting
    assert claim is not None
    assert (claim.suppressed is not None, claim.hold is not None) == (change is suppress, change is pause)


async def longest_wait(database: Database) -> float:
    """Return for how many milliseconds the oldest blocked transaction has run."""
    begun = text("""
        SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) * 1000 FROM pg_stat_activity
         WHERE wait_event_type = 'Lock' AND datname = current_database()
    """)
    async with database.transaction() as session:
        return float((await session.execute(begun)).scalar_one())


async def test_an_erasure_that_is_committed_while_the_guard_waits_is_obeyed(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        assert await erasures.erase_at_once(session, sent.database_tenant.tenant, "ada")
        waiting = asyncio.create_task(sent.claim())
        await until_blocked(sent.database_tenant.database, waiting)
    assert await waiting is None
    assert await sent.rows("attempt") == []


async def test_two_workers_with_the_same_call_claim_it_once(sent: DatabaseSend) -> None:
    """One was stopped past its time-out, another took over, and both go on."""
    async with sent.database_tenant.database.transaction() as session:
        first = await claim_attempt(session, sent.call())
        waiting = asyncio.create_task(sent.claim())
        await until_blocked(sent.database_tenant.database, waiting)
    second = await waiting
    assert first is not None
    assert second is not None
    assert (first.is_new, second.is_new) == (True, False)
    assert second.attempt.state is AttemptState.SUBMITTING
    assert second.ledger == await sent.ledger()


async def test_an_opt_out_waits_for_a_guard_that_came_first(sent: DatabaseSend) -> None:
    database_tenant = sent.database_tenant

    async def opt_out() -> None:
        async with database_tenant.database.transaction() as session:
            await preferences.save(session, database_tenant.tenant, "ada", {"email": False}, {}, None)

    async with database_tenant.database.transaction() as session:
        assert await claim_attempt(session, sent.call()) is not None
        waiting = asyncio.create_task(opt_out())
        await until_blocked(database_tenant.database, waiting)
    await waiting
    assert len(await sent.rows("attempt")) == 1


@pytest.mark.parametrize(
    ("states", "earlier_unknown_outcomes"),
    [
        ([], None),
        (["submitting"], 0),
        (["unknown"], 0),
        (["unknown", "submitting"], 1),
        (["unknown", "not_accepted", "unknown", "unknown"], 2),
        (["unknown", "not_accepted"], 1),
    ],
)
async def test_a_resumed_workflow_gets_unknown_outcomes_before_the_last_attempt(
    sent: DatabaseSend, states: list[str], earlier_unknown_outcomes: int | None
) -> None:
    for number, state in enumerate(states, 1):
        await sent.claim(number)
        if state != "submitting":
            await sent.answer(AttemptState(state), number=number)
    async with sent.database_tenant.database.transaction() as session:
        audience = await read_recipient_context(session, sent.id, sent.database_tenant.tenant)
    assert audience is not None
    last = LastAttempt(number=len(states), earlier_unknown_outcomes=earlier_unknown_outcomes or 0)
    assert list(audience.last_attempts.values()) == ([last] if states else [])
