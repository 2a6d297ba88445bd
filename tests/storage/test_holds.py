"""What is held back, until when, and who may go on first."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from domain.circuits import CallTally
from domain.holds import HoldKind, pause_hold
from storage import holds, provider_health
from storage.database import Database
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
PAUSED = pause_hold(uuid4(), HoldKind.CHANNEL, "email")


@pytest.fixture
async def sent(database: Database) -> DatabaseSend:
    return await (await open_database_tenant(database)).send()


RELEASED = (
    "SELECT id FROM delivery WHERE release_expires_at > now() OR (release_expires_at IS NOT NULL AND held_at IS NULL)"
)


async def released(database: Database, limit: int = 10) -> list[UUID]:
    """Which deliveries would be."""
    async with database.transaction() as session:
        await holds.release_held(session, limit)
        found = list((await session.execute(text(RELEASED))).scalars())
        await session.rollback()
    return found


async def pause(database_tenant: DatabaseTenant, kind: HoldKind, name: str) -> None:
    async with database_tenant.database.transaction() as session:
        await holds.pause(session, database_tenant.tenant, kind, name, None)


async def mark(sent: DatabaseSend, provider: str = "sandbox", *pool: str, endpoint: str = "email") -> None:
    held = pause_hold(uuid4(), HoldKind.PROVIDER, provider)
    call = sent.call(provider=provider, endpoint_id=endpoint, pool=pool or (provider,), has_alternatives=False)
    async with sent.database_tenant.database.transaction() as session:
        await holds.mark_held(session, call, held)


async def test_it_waits_for_the_pause_and_no_longer(database: Database, sent: DatabaseSend) -> None:
    await pause(sent.database_tenant, HoldKind.PROVIDER, "sandbox")
    await mark(sent)
    assert sent.delivery() not in await released(database)
    async with database.transaction() as session:
        assert await holds.resume(session, sent.database_tenant.tenant, HoldKind.PROVIDER, "sandbox")
    assert sent.delivery() in await released(database)


async def waiting(database_tenant: DatabaseTenant) -> dict[str, int]:
    async with database_tenant.database.transaction() as session:
        listed = await holds.list_page(session, database_tenant.tenant, before=None, limit=10)
    return {one.pause.name: one.waiting for one in listed}


async def test_a_pause_shows_how_many_messages_it_holds_back(database: Database, sent: DatabaseSend) -> None:
    for kind, name in ((HoldKind.CHANNEL, "email"), (HoldKind.PROVIDER, "smtp"), (HoldKind.CHANNEL, "sms")):
        await pause(sent.database_tenant, kind, name)
    await mark(sent, "smtp", "sandbox", "smtp")
    assert await waiting(sent.database_tenant) == {"sms": 0, "smtp": 1, "email": 1}
    async with database.transaction() as session:
        canceled = text("UPDATE delivery SET status = 'CANCELED' WHERE id = :id")
        await session.execute(canceled, {"id": sent.delivery()})
    assert await waiting(sent.database_tenant) == {"sms": 0, "smtp": 0, "email": 0}


async def test_one_recovered_provider_releases_a_rerouted_delivery(database: Database, sent: DatabaseSend) -> None:
    await pause(sent.database_tenant, HoldKind.PROVIDER, "standby")
    await mark(sent, "standby", "standby", "first")
    assert sent.delivery() in await released(database)


async def test_it_waits_while_its_vendor_wants_no_calls_unless_another_takes_it(
    database: Database, sent: DatabaseSend
) -> None:
    other = await sent.database_tenant.send()
    async with database.transaction() as session:
        await provider_health.apply_tally(session, "busy", CallTally(throttled_for=timedelta(minutes=1)))
    await mark(sent, "busy")
    await mark(other, "busy", "busy", "idle")
    assert {sent.delivery(), other.delivery()} & set(await released(database, 100)) == {other.delivery()}
    async with database.transaction() as session:
        await session.execute(text("UPDATE provider_health SET throttled_until = now() WHERE provider = 'busy'"))
    assert sent.delivery() in await released(database, 100)


async def test_devices_of_one_delivery_do_not_forget_each_other(database: Database, sent: DatabaseSend) -> None:
    await pause(sent.database_tenant, HoldKind.PROVIDER, "fcm")
    await mark(sent, "apns", endpoint="1")
    await mark(sent, "fcm", endpoint="2")
    assert sent.delivery() in await released(database)


async def test_the_mark_locks_in_the_common_order(database: Database, sent: DatabaseSend) -> None:
    """Guard, cancel and erasure lock the notification, then the delivery."""

    async def hold() -> None:
        async with database.transaction() as session:
            await holds.mark_held(session, sent.call(), PAUSED)

    async with database.transaction() as other:
        await other.execute(text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE"), {"id": sent.id})
        marking = asyncio.create_task(hold())
        await until_blocked(database, marking)
        await other.execute(text("UPDATE delivery SET status = 'SENDING' WHERE id = :id"), {"id": sent.delivery()})
    await marking
    [delivery] = await sent.rows("delivery")
    assert delivery["held_at"] is not None
