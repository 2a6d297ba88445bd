"""A guard that waits for a lock obeys what is committed before it decides: opt-outs, suppressions, pauses, erasures."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from domain.channels import Channel
from domain.holds import HoldKind
from domain.suppressions import SuppressionReason
from storage import attempts, erasures, holds, preferences, suppressions
from storage.attempts import LOCK_WAIT_MS, claim_attempt
from storage.database import Database
from storage.suppressions import NewSuppression
from tests.polling import eventually
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, open_database_tenant

pytestmark = pytest.mark.postgres


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
