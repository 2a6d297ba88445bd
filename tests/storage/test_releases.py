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
from storage.holds import Release
from tests.storage.databases import own_database
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
    some = [Sent(desk=desk, id=item.id, channels=(Channel.EMAIL,)) for item in items]
    async with desk.database.transaction() as session:
        for sent in some:
            draft = NewDelivery(id=sent.delivery(), step=1, channel=Channel.EMAIL, rule=None)
            assert await insert_deliveries(session, sent.id, desk.tenant, sent.generation, [draft])
            await holds.mark_held(session, sent.call(), PAUSED)
    return some


async def go_on(database: Database, limit: int) -> list[Release]:
    async with database.transaction() as session:
        return await holds.claim_released(session, limit)


async def test_one_of_a_quiet_tenant_is_not_behind_the_thousand_of_another(database: Database) -> None:
    busy, quiet = await open_desk(database), await open_desk(database)
    await hold(busy, *[3] * BACKLOG)
    [one] = await hold(quiet, 3)
    assert one.id in {release.notification_id for release in await go_on(database, 2)}


async def test_the_urgent_of_a_busy_tenant_go_before_what_others_can_wait_with(database: Database) -> None:
    busy, quiet = await open_desk(database), await open_desk(database)
    late = await hold(busy, *[4] * 20, 1, 1, 1)
    [one] = await hold(quiet, 3)
    first, rest = await go_on(database, 3), await go_on(database, 3)
    assert [release.notification_id for release in first] == [sent.id for sent in late[-3:]]
    assert rest[0].notification_id == one.id
    assert [release.notification_id for release in rest[1:]] == [sent.id for sent in late[:2]]


async def test_tenants_take_turns_within_a_priority(database: Database) -> None:
    desks = sorted([await open_desk(database) for _ in range(3)], key=lambda desk: desk.tenant)
    sizes = (50, 2, 7)
    owner: dict[UUID, int] = {}
    for number, (desk, size) in enumerate(zip(desks, sizes, strict=True)):
        owner |= {sent.id: number for sent in await hold(desk, *[3] * size)}
    told = [owner[release.notification_id] for release in await go_on(database, 9)]
    assert [sorted(told[at : at + 3]) for at in (0, 3)] == [[0, 1, 2], [0, 1, 2]]
    assert sorted(told[6:]) == [0, 0, 2]


async def test_who_had_urgent_ones_has_its_turn_with_the_others_all_the_same(database: Database) -> None:
    busy, quiet = await open_desk(database), await open_desk(database)
    urgent, later = await hold(busy, 1, 1, 1), await hold(busy, 3, 3)
    others = await hold(quiet, 3, 3)
    told = [release.notification_id for release in await go_on(database, 5)]
    assert told[:3] == [sent.id for sent in urgent]
    assert sorted(told[3:]) == sorted([later[0].id, others[0].id])


async def test_two_that_ask_at_once_get_different_ones(database: Database) -> None:
    desk = await open_desk(database)
    some = await hold(desk, *[3] * 20)
    claims = await asyncio.gather(*(go_on(database, 10) for _ in range(2)))
    told = [release.notification_id for claim in claims for release in claim]
    assert len(told) == len(set(told))
    told += [release.notification_id for release in await go_on(database, 20)]
    assert sorted(told) == sorted(sent.id for sent in some)
