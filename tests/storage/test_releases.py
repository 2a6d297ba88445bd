"""Who goes on first when nothing holds them any more: the most urgent, and of those the tenants in turn."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from domain.channels import Channel
from domain.holds import HoldKind, paused
from storage import holds
from storage.database import Database
from storage.deliveries import NewDelivery, insert_deliveries
from tests.storage.databases import own_database
from tests.storage.queues import OTHER, ended, mark, release, started
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres
BACKLOG = 1_000
PAUSED = paused(uuid4(), HoldKind.CHANNEL, "email")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


async def hold(desk: Desk, *priorities: int) -> list[Sent]:
    """Sends that the guard held back, in this order."""
    items = [desk.new(priority=priority) for priority in priorities]
    await desk.accept(*items)
    await started(desk.database, *[item.id for item in items])
    some = [Sent(desk=desk, id=item.id, channels=(Channel.EMAIL,)) for item in items]
    async with desk.database.transaction() as session:
        for sent in some:
            draft = NewDelivery(id=sent.delivery(), step=1, channel=Channel.EMAIL, rule=None)
            assert await insert_deliveries(session, sent.id, desk.tenant, sent.generation, [draft])
            await holds.mark_held(session, sent.call(), PAUSED)
    return some


async def test_one_of_a_quiet_tenant_is_not_behind_the_thousand_of_another(database: Database) -> None:
    busy, quiet = await open_desk(database), await open_desk(database)
    await hold(busy, *[3] * BACKLOG)
    [one] = await hold(quiet, 3)
    assert one.id in await release(database, 2)


async def test_the_urgent_of_a_busy_tenant_go_before_what_others_can_wait_with(database: Database) -> None:
    busy, quiet = await open_desk(database), await open_desk(database)
    late = await hold(busy, *[4] * 20, 1, 1, 1)
    [one] = await hold(quiet, 3)
    first, rest = await release(database, 3), await release(database, 3)
    assert first == [sent.id for sent in late[-3:]]
    assert rest == [one.id, *(sent.id for sent in late[:2])]


async def test_tenants_take_turns_within_a_priority(database: Database) -> None:
    desks = sorted([await open_desk(database) for _ in range(3)], key=lambda desk: desk.tenant)
    sizes = (50, 2, 7)
    owner: dict[UUID, int] = {}
    for number, (desk, size) in enumerate(zip(desks, sizes, strict=True)):
        owner |= {sent.id: number for sent in await hold(desk, *[3] * size)}
    told = [sorted(owner[one] for one in await release(database, 3)) for _ in range(3)]
    assert told == [[0, 1, 2], [0, 1, 2], [0, 0, 2]]


async def test_who_had_urgent_ones_has_its_turn_with_the_others_all_the_same(database: Database) -> None:
    busy, quiet = await open_desk(database), await open_desk(database)
    urgent, later = await hold(busy, 1, 1, 1), await hold(busy, 3, 3)
    others = await hold(quiet, 3, 3)
    told = await release(database, 5)
    assert told[:3] == [sent.id for sent in urgent]
    assert sorted(told[3:]) == sorted([later[0].id, others[0].id])


async def test_two_that_ask_at_once_get_different_ones(database: Database) -> None:
    desk = await open_desk(database)
    some = await hold(desk, *[3] * 20)
    told = [one for each in await asyncio.gather(*(release(database, 10) for _ in range(2))) for one in each]
    assert len(told) == len(set(told))
    told += await release(database, 20)
    assert sorted(told) == sorted(sent.id for sent in some)


async def test_released_it_is_held_until_its_next_attempt_and_released_again_if_none_comes(database: Database) -> None:
    desk = await open_desk(database)
    [sent] = await hold(desk, 3)
    assert await release(database, 10) == [sent.id]
    await mark(database, sent.id, process=OTHER)
    assert await release(database, 10) == [], "its workflow has a while for the attempt"
    await desk.query("UPDATE delivery SET release_at = now()")
    assert await release(database, 10) == [sent.id]
    await mark(database, sent.id, process=OTHER)
    await sent.claim()
    await desk.query("UPDATE delivery SET release_at = now()")
    assert await release(database, 10) == []


async def test_one_that_has_ended_is_held_no_more_and_not_resumed(database: Database) -> None:
    desk = await open_desk(database)
    [sent] = await hold(desk, 3)
    await ended(desk, sent.id)
    assert await release(database, 10) == []
    assert [row["held_at"] for row in await sent.rows("delivery")] == [None]
