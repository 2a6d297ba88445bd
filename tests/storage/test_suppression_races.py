"""The suppression list when two write to it at the same moment: what lasts stays, and nobody waits in a circle.

A test that deadlocks fails by Postgres' own word for it.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from domain.channels import Channel
from domain.suppressions import SuppressionReason
from storage import erasures, opt_outs, receipts, recipients, suppressions
from storage.database import Database
from storage.suppressions import Filter, NewSuppression, Suppression
from tests.storage.locks import until_blocked
from tests.storage.sends import CONTACT, Desk, Sent, open_desk
from tests.storage.test_receipts import receipt

pytestmark = pytest.mark.postgres
R = SuppressionReason
PHONE = CONTACT["phone"]
SOON, LATER = (datetime.now(UTC) + timedelta(days=days) for days in (1, 2))


@pytest.fixture
async def sent(desk: Desk) -> Sent:
    """A text message is under way."""
    sent = await desk.send(Channel.SMS)
    await sent.claim(channel=Channel.SMS)
    return sent


def new(desk: Desk, reason: SuppressionReason, expires_at: datetime | None = None) -> NewSuppression:
    return NewSuppression(
        channel=Channel.SMS,
        address_key=desk.database.encryption.address_key(desk.tenant, "phone", PHONE),
        address={"phone": PHONE},
        reason=reason,
        source="sandbox",
        expires_at=expires_at,
    )


async def add(desk: Desk, one: NewSuppression) -> tuple[Suppression, bool]:
    async with desk.database.transaction() as session:
        return await suppressions.add(session, desk.tenant, one)


async def listed(desk: Desk) -> list[Suppression]:
    async with desk.database.transaction() as session:
        return await suppressions.page(session, desk.tenant, Filter(), before=None, limit=10)


async def bounce(sent: Sent, kind: str = "bounced", reason: str | None = "unknown_number") -> None:
    told = receipt(kind, attempt_id=sent.attempt(channel=Channel.SMS), reason=reason)
    async with sent.desk.database.transaction() as session:
        await receipts.store(session, [told])
    async with sent.desk.database.transaction() as session:
        await receipts.apply(session, told, sent.attempt(channel=Channel.SMS), sent.key)


async def start(database: Database) -> None:
    async with database.transaction() as session:
        await opt_outs.opt_in(session, "sandbox", PHONE)


async def stop(database: Database) -> None:
    async with database.transaction() as session:
        await opt_outs.opt_out(session, "sandbox", PHONE)


@pytest.mark.parametrize("first", ["stronger", "weaker"])
@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        ((R.COMPLAINED, None), (R.BOUNCED, None)),
        ((R.BOUNCED, None), (R.MANUAL, LATER)),
        ((R.BOUNCED, LATER), (R.BOUNCED, SOON)),
    ],
    ids=["graver", "for good", "longer"],
)
async def test_of_two_findings_at_the_same_moment_the_stronger_stays(
    desk: Desk, stronger: tuple[Any, ...], weaker: tuple[Any, ...], first: str
) -> None:
    """The second one waits for the first one's row, which its own look at the list has not seen."""
    pair = [new(desk, *stronger), new(desk, *weaker)]
    one, other = pair if first == "stronger" else reversed(pair)
    async with desk.database.transaction() as session:
        _, changed = await suppressions.add(session, desk.tenant, one)
        assert changed
        waiting = asyncio.create_task(add(desk, other))
        await until_blocked(desk.database, waiting)
    found, changed = await waiting
    assert changed is (first == "weaker")
    assert (found.reason, found.expires_at) == stronger
    assert await listed(desk) == [found]


async def test_a_finding_whose_rival_is_rolled_back_is_kept(desk: Desk) -> None:
    async with desk.database.transaction() as session:
        await suppressions.add(session, desk.tenant, new(desk, R.MANUAL))
        waiting = asyncio.create_task(add(desk, new(desk, R.BOUNCED)))
        await until_blocked(desk.database, waiting)
        await session.rollback()
    assert (await waiting)[1]
    assert [one.reason for one in await listed(desk)] == ["bounced"]


async def test_a_bounce_that_meets_a_start_is_on_the_list_afterwards(sent: Sent) -> None:
    """START lifts the STOP; that the number does not exist is not theirs to say."""
    database = sent.desk.database
    await stop(database)
    async with database.transaction() as session:
        await opt_outs.opt_in(session, "sandbox", PHONE)
        waiting = asyncio.create_task(bounce(sent))
        await until_blocked(database, waiting)
    await waiting
    assert [one.reason for one in await listed(sent.desk)] == ["bounced"]


async def test_a_start_that_meets_a_complaint_lifts_nothing(sent: Sent) -> None:
    database = sent.desk.database
    await stop(database)
    told = receipt("complained", attempt_id=sent.attempt(channel=Channel.SMS))
    async with database.transaction() as session:
        await receipts.apply(session, told, sent.attempt(channel=Channel.SMS), sent.key)
        waiting = asyncio.create_task(start(database))
        await until_blocked(database, waiting)
    await waiting
    assert [one.reason for one in await listed(sent.desk)] == ["complained"]


async def test_who_waits_for_the_list_holds_no_notification(sent: Sent) -> None:
    """Whoever has the list may go on to the notification: that is the order."""
    database = sent.desk.database
    await stop(database)
    async with database.transaction() as session:
        await opt_outs.opt_in(session, "sandbox", PHONE)
        waiting = asyncio.create_task(bounce(sent))
        await until_blocked(database, waiting)
        await session.execute(text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE"), {"id": sent.id})
    await waiting
    assert [one.reason for one in await listed(sent.desk)] == ["bounced"]


async def test_who_waits_for_the_person_holds_neither_list_nor_notification(sent: Sent) -> None:
    """An erasure has locked the person first."""
    database, tenant = sent.desk.database, sent.desk.tenant
    await stop(database)
    async with database.transaction() as session:
        assert await recipients.find(session, tenant, sent.desk.recipient_id, lock=True)
        tasks = [asyncio.create_task(bounce(sent)), asyncio.create_task(stop(database))]
        for waiting in tasks:
            await until_blocked(database, waiting)
        assert await erasures.erase(session, tenant, sent.desk.recipient_id)
    await asyncio.gather(*tasks)
    assert [one.address for one in await listed(sent.desk)] == [None]


@pytest.mark.parametrize("turned", [False, True])
async def test_a_start_and_a_stop_of_one_number_at_many_tenants_wait_in_no_circle(
    database: Database, turned: bool
) -> None:
    """STOP goes through them in the order of their ids, wherever their rows lie."""
    desks = sorted([await open_desk(database) for _ in range(4)], key=lambda desk: desk.tenant)
    for desk in reversed(desks) if turned else desks:
        await add(desk, new(desk, R.OPTED_OUT))
        await desk.query("UPDATE tenant SET name = name WHERE id = :id", id=desk.tenant)
    async with database.transaction() as session:
        for number, desk in enumerate(desks):
            await suppressions.add(session, desk.tenant, new(desk, R.OPTED_OUT))
            if number == 0:
                waiting = asyncio.create_task(start(database))
                await until_blocked(database, waiting)
    await waiting
    assert [await listed(desk) for desk in desks] == [[]] * 4
