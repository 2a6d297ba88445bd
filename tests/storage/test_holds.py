"""What is held back, until when, and who may go on first."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from domain.circuits import Tally
from domain.holds import HoldKind, paused
from storage import holds, pauses, provider_health, releases
from storage.database import Database
from tests.storage.locks import until_blocked
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres
PAUSED = paused(uuid4(), HoldKind.CHANNEL, "email")


@pytest.fixture
async def sent(database: Database) -> Sent:
    return await (await open_desk(database)).send()


RELEASED = "SELECT id FROM delivery WHERE release_at > now() OR (release_at IS NOT NULL AND held_at IS NULL)"


async def released(database: Database, limit: int = 10) -> list[UUID]:
    """Which deliveries would be."""
    async with database.transaction() as session:
        await releases.release(session, limit)
        found = list((await session.execute(text(RELEASED))).scalars())
        await session.rollback()
    return found


async def pause(desk: Desk, kind: HoldKind, name: str) -> None:
    async with desk.database.transaction() as session:
        await holds.pause(session, desk.tenant, kind, name, None)


async def mark(sent: Sent, provider: str = "sandbox", *pool: str, endpoint: str = "email") -> None:
    held = paused(uuid4(), HoldKind.PROVIDER, provider)
    call = sent.call(provider=provider, endpoint_id=endpoint, pool=pool or (provider,), others=False)
    async with sent.desk.database.transaction() as session:
        await holds.mark_held(session, call, held)


async def test_it_waits_for_the_pause_and_no_longer(database: Database, sent: Sent) -> None:
    await pause(sent.desk, HoldKind.PROVIDER, "sandbox")
    await mark(sent)
    assert sent.delivery() not in await released(database)
    async with database.transaction() as session:
        assert await holds.resume(session, sent.desk.tenant, HoldKind.PROVIDER, "sandbox")
    assert sent.delivery() in await released(database)


async def waiting(desk: Desk) -> dict[str, int]:
    async with desk.database.transaction() as session:
        listed = await pauses.page(session, desk.tenant, before=None, limit=10)
    return {one.pause.name: one.waiting for one in listed}


async def test_a_pause_shows_how_many_messages_it_holds_back(database: Database, sent: Sent) -> None:
    for kind, name in ((HoldKind.CHANNEL, "email"), (HoldKind.PROVIDER, "smtp"), (HoldKind.CHANNEL, "sms")):
        await pause(sent.desk, kind, name)
    await mark(sent, "smtp", "sandbox", "smtp")
    assert await waiting(sent.desk) == {"sms": 0, "smtp": 1, "email": 1}
    async with database.transaction() as session:
        canceled = text("UPDATE delivery SET status = 'CANCELED' WHERE id = :id")
        await session.execute(canceled, {"id": sent.delivery()})
    assert await waiting(sent.desk) == {"sms": 0, "smtp": 0, "email": 0}


async def test_where_it_only_came_because_others_were_down_one_that_is_well_is_enough(
    database: Database, sent: Sent
) -> None:
    await pause(sent.desk, HoldKind.PROVIDER, "standby")
    await mark(sent, "standby", "standby", "first")
    assert sent.delivery() in await released(database)


async def test_it_waits_while_its_vendor_wants_no_calls_unless_another_takes_it(database: Database, sent: Sent) -> None:
    other = await sent.desk.send()
    async with database.transaction() as session:
        await provider_health.move(session, "busy", Tally(quiet=timedelta(minutes=1)))
    await mark(sent, "busy")
    await mark(other, "busy", "busy", "idle")
    assert {sent.delivery(), other.delivery()} & set(await released(database, 100)) == {other.delivery()}
    async with database.transaction() as session:
        await session.execute(text("UPDATE provider_health SET quiet_until = now() WHERE provider = 'busy'"))
    assert sent.delivery() in await released(database, 100)


async def test_devices_of_one_delivery_do_not_forget_each_other(database: Database, sent: Sent) -> None:
    await pause(sent.desk, HoldKind.PROVIDER, "fcm")
    await mark(sent, "apns", endpoint="1")
    await mark(sent, "fcm", endpoint="2")
    assert sent.delivery() in await released(database)


async def test_the_mark_takes_its_locks_as_everybody_does(database: Database, sent: Sent) -> None:
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
