"""Claims: who gets what, in which order, for how long, and what the slots of a process leave to be claimed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from storage import claims
from storage.claims import Claimed, Slots
from storage.database import Database
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres

MANY = Slots(total=100, reserved=0)
EVER = datetime(2000, 1, 1, tzinfo=UTC)
ME = uuid4()


@pytest.fixture
async def desk(database: Database) -> Desk:
    """Claims are made over all tenants: there is nothing in the database but what the test puts there."""
    desk = await open_desk(database)
    await desk.query("TRUNCATE notification, queue_entry, engine_state CASCADE")
    return desk


async def accepted(desk: Desk, *priorities: int) -> list[UUID]:
    items = [desk.new(priority=priority) for priority in priorities]
    await desk.accept(*items)
    return [item.id for item in items]


async def claim(
    database: Database, slots: Slots = MANY, *, process: UUID = ME, most: int = 100, since: datetime = EVER
) -> list[Claimed]:
    async with database.statement() as session:
        return (await claims.claim(session, process, slots, most=most, since=since))[0]


def ids(claimed: Sequence[Claimed]) -> list[UUID]:
    return [one.id for one in claimed]


async def test_the_most_urgent_come_first(desk: Desk) -> None:
    five, two, one, three, again = await accepted(desk, 5, 2, 1, 3, 1)
    assert ids(await claim(desk.database)) == [one, again, two, three, five]


async def test_four_processes_that_claim_one_at_a_time_serve_three_tenants_in_strict_alternation(desk: Desk) -> None:
    desks = [desk, *[await open_desk(desk.database) for _ in range(2)]]
    for each in desks:
        await accepted(each, *[1] * 20)
    served: list[Claimed] = []

    async def work(process: UUID) -> None:
        while claimed := await claim(desk.database, process=process, most=1):
            served.extend(claimed)

    await asyncio.gather(*(work(uuid4()) for _ in range(4)))
    rows = await desk.query("SELECT notification_id, tenant FROM queue_entry ORDER BY xmin::text::bigint")
    order = [row["tenant"] for row in rows]
    assert len(order) == 60
    assert all(len(set(order[at : at + 3])) == 3 for at in range(58))


async def test_thousands_of_one_type_hold_up_no_other_type_of_the_tenant(desk: Desk) -> None:
    await accepted(desk, *[3] * 200)
    [other] = await accepted(desk, 3)
    await desk.query(f"UPDATE queue_entry SET lane = -5 WHERE notification_id = '{other}'")
    order = [each for _ in range(30) for each in ids(await claim(desk.database, most=1))]
    assert other in order
