"""Know when a digest window closes: by the database's clock, and by a schedule in the recipient's time zone."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.clock import now, set_offset
from domain.cursors import MIN_ID
from models.notification_types import NotificationTypeVersion
from storage import digest_collection, recipients, ticks
from storage.catalog import Catalog
from storage.database import Database
from storage.digest_collection import collect_waiting
from tests.storage.digest_windows import accept_items, close_window, collect, hand_over_item, statuses, windows
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
A_DAY = timedelta(days=1)


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await open_database_tenant(database, digest={"window": "1h"})


async def test_a_moved_recipient_gets_the_next_morning_of_the_new_zone(database: Database) -> None:
    database_tenant = await open_database_tenant(database, digest={"schedule": "0 9 * * *"})
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    async with database.transaction() as session:
        await recipients.merge_profile(
            session, database_tenant.tenant, database_tenant.recipient_id, {"timezone": "Asia/Tokyo"}
        )
        await digest_collection.update_closing_times(session, database_tenant.tenant, database_tenant.recipient_id)
    [window] = await windows(database_tenant)
    assert (window["closes_at"].hour, window["closes_at"].minute) == (0, 0)
    assert timedelta() < window["closes_at"] - now() <= timedelta(days=1)


async def test_a_zone_that_changes_while_a_window_is_opened_is_seen(database: Database) -> None:
    database_tenant = await open_database_tenant(database, digest={"schedule": "0 9 * * *"})
    await accept_items(database_tenant, 1)
    catalog = Catalog(database)

    async def moving() -> None:
        async with database.transaction() as session:
            await recipients.merge_profile(
                session, database_tenant.tenant, database_tenant.recipient_id, {"timezone": "Asia/Tokyo"}
            )
            await digest_collection.update_closing_times(session, database_tenant.tenant, database_tenant.recipient_id)

    async with database.transaction() as session:
        await collect_waiting(session, catalog.type_by_id, 500)
        moves = asyncio.create_task(moving())
        await until_blocked(database, moves)
    await moves
    [window] = await windows(database_tenant)
    assert window["closes_at"].hour == 0


async def test_only_recipients_without_a_zone_move_with_the_tenant(database: Database) -> None:
    database_tenant = await open_database_tenant(database, digest={"schedule": "0 9 * * *"})
    async with database.transaction() as session:
        await recipients.replace_profile(session, database_tenant.tenant, "bob", {"timezone": "Asia/Tokyo"})
    await database_tenant.accept(database_tenant.new(digest_key="ada"), database_tenant.new("bob", digest_key="bob"))
    await collect(database_tenant)
    await database_tenant.query(
        "UPDATE digest SET closes_at = now() + interval '9 days' WHERE tenant = :t", t=database_tenant.tenant
    )
    async with database.transaction() as session:
        await digest_collection.update_closing_times_of_tenant(session, database_tenant.tenant, MIN_ID, 10)
    left = {window["recipient_id"]: window["closes_at"] - now() for window in await windows(database_tenant)}
    assert left["ada"] <= A_DAY
    assert left["bob"] > 8 * A_DAY


@pytest.fixture
def another_clock() -> Iterator[None]:
    """This process is a day ahead of the database."""
    set_offset(A_DAY)
    yield
    set_offset(timedelta())


@pytest.mark.usefixtures("another_clock")
async def test_an_item_within_the_window_by_database_time_is_included(database_tenant: DatabaseTenant) -> None:
    ids = await accept_items(database_tenant, 1, expires_in=timedelta(hours=1))
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    assert await close_window(database_tenant, window["id"])
    assert await statuses(database_tenant, *ids) == ["DIGESTED"]


@pytest.mark.usefixtures("another_clock")
async def test_the_next_morning_is_that_of_the_databases_clock(database: Database) -> None:
    database_tenant = await open_database_tenant(database, digest={"schedule": "0 9 * * *"})
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    async with database.transaction() as session:
        await digest_collection.update_closing_times(session, database_tenant.tenant, database_tenant.recipient_id)
    [window] = await windows(database_tenant)
    assert window["closes_at"] - (now() - A_DAY) <= A_DAY


async def test_a_late_item_of_a_gate_opens_a_window_from_then(database_tenant: DatabaseTenant) -> None:
    id = await hand_over_item(database_tenant)
    await database_tenant.query("UPDATE notification SET created_at = now() - interval '9 hours' WHERE id = :id", id=id)
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    assert timedelta(minutes=59) < window["closes_at"] - now() <= timedelta(hours=1)


async def test_a_late_collected_item_counts_from_its_acceptance(database_tenant: DatabaseTenant) -> None:
    [id] = await accept_items(database_tenant, 1)
    ago = "created_at - interval '9 minutes'"
    await database_tenant.query(f"UPDATE notification SET created_at = {ago} WHERE id = :id", id=id)
    await database_tenant.query(
        "UPDATE queue_entry SET next_at = next_at - interval '9 minutes' WHERE notification_id = :id", id=id
    )
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    assert window["closes_at"] - now() < timedelta(minutes=52)


async def test_a_window_by_the_calendar_stays_with_the_version_that_has_one(database: Database) -> None:
    """Its tick continues, and a recipient who changes zones gets it at the next time in the new zone."""
    database_tenant = await open_database_tenant(database, digest={"schedule": "0 9 * * *"})
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    [kind] = await database_tenant.query(
        "SELECT key, spec FROM notification_type WHERE id = :id", id=database_tenant.type_id
    )
    newer = NotificationTypeVersion(
        tenant=database_tenant.tenant, key=kind["key"], version=2, spec={**kind["spec"], "digest": {"window": "1h"}}
    )
    async with database.transaction() as session:
        session.add(newer)
    await accept_items(replace(database_tenant, type_id=newer.id), 1)
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    assert (window["type_id"], window["item_count"]) == (database_tenant.type_id, 2)
    async with database.transaction() as session:
        assert len(await ticks.read_digest_rules(session, database_tenant.tenant, kind["key"])) == 1
