"""Turns: who is served next, by priority, tenant and type, also by several processes at once."""

import asyncio
from uuid import UUID, uuid4

import pytest

from storage.claims import Claimed
from storage.database import Database
from tests.storage.queues import accepted, claim, empty_desk, ids
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await empty_desk(database)


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


@pytest.mark.parametrize("most", [1, 5])
async def test_a_quiet_tenant_is_served_in_its_turn_however_old_the_backlogs_are(desk: Desk, most: int) -> None:
    for busy in [await open_desk(desk.database) for _ in range(8)]:
        await accepted(busy, *[3] * 20)
    await accepted(desk, 3)
    order: list[UUID] = []
    while len(order) < 9:
        order += [one.tenant for one in await claim(desk.database, most=most)]
    assert desk.tenant in order[:9]
    assert len(set(order[:9])) == 9, "a tenant was served twice before each was served once"


async def test_priority_comes_before_the_turn_of_a_tenant(desk: Desk) -> None:
    bulk = await accepted(desk, 5)
    ordinary = await accepted(await open_desk(desk.database), 3, 3, 3)
    assert ids(await claim(desk.database, most=3)) == ordinary
    assert ids(await claim(desk.database, most=3)) == bulk


async def test_thousands_of_one_type_hold_up_no_other_type_of_the_tenant(desk: Desk) -> None:
    await accepted(desk, *[3] * 200)
    [other] = await accepted(desk, 3)
    await desk.query("UPDATE queue_entry SET lane = -5 WHERE notification_id = :id", id=other)
    order = [each for _ in range(30) for each in ids(await claim(desk.database, most=1))]
    assert other in order
