"""Windows and their items as rows: each item is in one window, each window becomes one notification, whoever races."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from domain.cancellation import cancel
from domain.clock import now, set_ahead
from domain.names import DISPATCH_CHANNEL
from models.content import NotificationType
from storage import digest_closing, digests, erasures, recipients, ticks
from storage.catalog import Catalog
from storage.database import Database
from storage.digest_collection import collect_waiting
from storage.ledgers import Key, amend
from tests.storage.databases import own_database
from tests.storage.locks import until_blocked
from tests.storage.sends import Desk, open_desk
from tests.storage.windows import (
    accept,
    close,
    close_filled,
    close_overdue,
    collect,
    handed_over,
    made,
    statuses,
    windows,
)

pytestmark = pytest.mark.postgres
A_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Without the items of other modules: what is due is collected for all tenants."""
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await open_desk(database, digest={"window": "1h", "max_items": 5})


async def test_collected_twice_it_is_in_one_window(desk: Desk) -> None:
    await accept(desk, 3)
    assert [await collect(desk), await collect(desk)] == [3, 0]
    [window] = await windows(desk)
    assert (window["items"], window["told_at"], window["closed_at"]) == (3, None, None)


async def test_two_who_collect_at_once_open_one_window(desk: Desk) -> None:
    await accept(desk, 4)
    taken = await asyncio.gather(*(collect(desk, limit=2) for _ in range(3)))
    assert sum(taken) == 4
    assert [window["items"] for window in await windows(desk)] == [4]


async def test_what_is_full_is_closed_next_and_the_rest_opens_the_next(desk: Desk) -> None:
    ids = await accept(desk, 12)
    await collect(desk)
    assert (await close_filled(desk), await close_filled(desk)) == (2, 0)
    assert sorted(window["items"] for window in await windows(desk)) == [2, 5, 5]
    assert sorted(await statuses(desk, *ids)) == ["DIGESTED"] * 10 + ["PENDING"] * 2
    payloads = [row["event_payload"] for row in await made(desk)]
    assert sorted(item["n"] for payload in payloads for item in payload["items"]) == list(range(10))


async def test_one_that_is_full_takes_nothing_more_though_nobody_has_closed_it(desk: Desk) -> None:
    """Whoever filled it was killed: the next who collects finds it, and its items are in it alone."""
    await accept(desk, 5)
    await collect(desk)
    await accept(desk, 1)
    await collect(desk)
    assert [(window["items"], window["filled"]) for window in await windows(desk)] == [(5, True), (1, False)]
    async with desk.database.transaction() as session:
        told = [window.closes_at for window in await digests.to_tell(session, 10) if window.tenant == desk.tenant]
    assert told == [window["closes_at"] for window in await windows(desk) if not window["filled"]]
    assert await close_filled(desk) == 1
    assert [row["event_payload"]["total"] for row in await made(desk)] == [5]


async def test_what_it_becomes_stands_among_the_notifications_of_that_time(desk: Desk) -> None:
    [early] = await accept(desk, 1)
    await collect(desk)
    [window] = await windows(desk)
    await close(desk, window["id"])
    [late] = await accept(desk, 1)
    [one] = await made(desk)
    assert one["id"].version == 7
    assert early < one["id"]
    assert str(one["id"])[:12] <= str(late)[:12]


async def test_it_goes_out_by_the_channels_that_its_items_asked_for_and_is_found_by_their_tags(desk: Desk) -> None:
    await accept(desk, 1, channels=["email"], tags=("a", "b"))
    await accept(desk, 1, channels=["email"], tags=("b", "c"))
    await collect(desk)
    [window] = await windows(desk)
    await close(desk, window["id"])
    [one] = await made(desk)
    assert (one["channels"], one["tags"]) == (["email"], ["a", "b", "c"])


async def test_closed_by_two_at_once_it_is_one_notification(desk: Desk) -> None:
    ids = await accept(desk, 2)
    await collect(desk)
    [window] = await windows(desk)
    assert sorted(await asyncio.gather(close(desk, window["id"]), close(desk, window["id"]))) == [0, 1]
    [one] = await made(desk)
    assert (one["event_payload"]["total"], one["status"], one["digest_id"]) == (2, "PENDING", window["id"])
    assert await statuses(desk, *ids) == ["DIGESTED", "DIGESTED"]
    [closed] = await windows(desk)
    assert closed["notification_id"] == one["id"]


async def test_an_item_that_comes_while_a_window_is_closed_opens_the_next(desk: Desk) -> None:
    await accept(desk, 1)
    await collect(desk)
    [window] = await windows(desk)
    [late] = await accept(desk, 1)
    async with desk.database.transaction() as session:
        await digest_closing.close(session, [window["id"]])
        collecting = asyncio.create_task(collect(desk))
        await until_blocked(desk.database, collecting)
    await collecting
    first, second = await windows(desk)
    assert (first["items"], second["items"], second["closed_at"]) == (1, 1, None)
    assert await statuses(desk, late) == ["PENDING"]


async def test_an_item_that_is_cancelled_while_its_window_closes_is_in_it_or_cancelled(desk: Desk) -> None:
    [id] = await accept(desk, 1)
    await collect(desk)
    [window] = await windows(desk)

    async def canceling() -> None:
        async with desk.database.transaction() as session:
            await amend(session, Key(notification_id=id, tenant=desk.tenant), lambda ledger: cancel(ledger, now()))

    async with desk.database.transaction() as session:
        await digest_closing.close(session, [window["id"]])
        late = asyncio.create_task(canceling())
        await until_blocked(desk.database, late)
    await late
    assert await statuses(desk, id) == ["DIGESTED"]
    assert len(await made(desk)) == 1


async def test_each_end_has_one_event(desk: Desk) -> None:
    kept, canceled, old = await accept(desk, 3)
    await collect(desk)
    await desk.query("UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=canceled)
    await desk.query("UPDATE notification SET expires_at = now() WHERE id = :id", id=old)
    [window] = await windows(desk)
    await close(desk, window["id"])
    assert await statuses(desk, kept, canceled, old) == ["DIGESTED", "CANCELED", "EXPIRED"]
    told = await desk.query(
        "SELECT notification_id, kind, status FROM event WHERE tenant = :tenant AND status IS NOT NULL"
        " AND status <> 'PENDING' ORDER BY notification_id",
        tenant=desk.tenant,
    )
    assert [(row["kind"], row["status"]) for row in told] == [
        ("digested", "DIGESTED"),
        ("canceled", "CANCELED"),
        ("expired", "EXPIRED"),
    ]


async def test_somebody_who_is_erased_gets_none(desk: Desk) -> None:
    ids = await accept(desk, 2)
    await collect(desk)
    async with desk.database.transaction() as session:
        await erasures.erase(session, desk.tenant, desk.recipient_id)
    [window] = await windows(desk)
    assert await close(desk, window["id"]) == 0
    assert await statuses(desk, *ids) == ["CANCELED", "CANCELED"]
    assert await made(desk) == []


async def test_an_item_with_a_time_of_its_own_waits_for_it(desk: Desk) -> None:
    await accept(desk, 1, send_at=now() + timedelta(hours=1))
    assert await collect(desk) == 0
    assert await windows(desk) == []


async def test_what_somebody_else_should_have_closed_is_closed_when_it_is_overdue(desk: Desk) -> None:
    await accept(desk, 1)
    await collect(desk)
    assert await close_overdue(desk) == 0
    await desk.query("UPDATE digest SET closes_at = now() - interval '11 seconds' WHERE tenant = :t", t=desk.tenant)
    assert await close_overdue(desk) == 1
    assert len(await made(desk)) == 1


async def test_a_person_who_moves_is_given_the_next_morning_there(database: Database) -> None:
    desk = await open_desk(database, digest={"schedule": "0 9 * * *"})
    await accept(desk, 1)
    await collect(desk)
    async with database.transaction() as session:
        await recipients.merge(session, desk.tenant, desk.recipient_id, {"timezone": "Asia/Tokyo"})
        await digests.moved(session, desk.tenant, desk.recipient_id)
    [window] = await windows(desk)
    assert (window["closes_at"].hour, window["closes_at"].minute) == (0, 0)
    assert timedelta() < window["closes_at"] - now() <= timedelta(days=1)


async def test_a_zone_that_changes_while_a_window_is_opened_is_seen(database: Database) -> None:
    desk = await open_desk(database, digest={"schedule": "0 9 * * *"})
    await accept(desk, 1)
    catalog = Catalog(database)

    async def moving() -> None:
        async with database.transaction() as session:
            await recipients.merge(session, desk.tenant, desk.recipient_id, {"timezone": "Asia/Tokyo"})
            await digests.moved(session, desk.tenant, desk.recipient_id)

    async with database.transaction() as session:
        await collect_waiting(session, catalog.type_by_id, 500)
        moves = asyncio.create_task(moving())
        await until_blocked(database, moves)
    await moves
    [window] = await windows(desk)
    assert window["closes_at"].hour == 0


async def test_only_whoever_has_no_zone_of_their_own_moves_with_the_tenant(database: Database) -> None:
    desk = await open_desk(database, digest={"schedule": "0 9 * * *"})
    async with database.transaction() as session:
        await recipients.replace(session, desk.tenant, "bob", {"timezone": "Asia/Tokyo"})
    await desk.accept(desk.new(digest_group="ada"), desk.new("bob", digest_group="bob"))
    await collect(desk)
    await desk.query("UPDATE digest SET closes_at = now() + interval '9 days' WHERE tenant = :t", t=desk.tenant)
    async with database.transaction() as session:
        await digests.moved_with_tenant(session, desk.tenant, digests.FIRST, 10)
    left = {window["recipient_id"]: window["closes_at"] - now() for window in await windows(desk)}
    assert left["ada"] <= A_DAY
    assert left["bob"] > 8 * A_DAY


@pytest.fixture
def another_clock() -> Iterator[None]:
    """This process is a day ahead of the database."""
    set_ahead(A_DAY)
    yield
    set_ahead(timedelta())


@pytest.mark.usefixtures("another_clock")
async def test_what_is_still_in_time_by_the_databases_clock_is_in_it(desk: Desk) -> None:
    ids = await accept(desk, 1, expires_in=timedelta(hours=1))
    await collect(desk)
    [window] = await windows(desk)
    assert await close(desk, window["id"]) == 1
    assert await statuses(desk, *ids) == ["DIGESTED"]


@pytest.mark.usefixtures("another_clock")
async def test_the_next_morning_is_that_of_the_databases_clock(database: Database) -> None:
    desk = await open_desk(database, digest={"schedule": "0 9 * * *"})
    await accept(desk, 1)
    await collect(desk)
    async with database.transaction() as session:
        await digests.moved(session, desk.tenant, desk.recipient_id)
    [window] = await windows(desk)
    assert window["closes_at"] - (now() - A_DAY) <= A_DAY


async def test_what_a_gate_hands_over_late_opens_a_window_from_then_on(desk: Desk) -> None:
    id = await handed_over(desk)
    await desk.query("UPDATE notification SET created_at = now() - interval '9 hours' WHERE id = :id", id=id)
    await collect(desk)
    [window] = await windows(desk)
    assert timedelta(minutes=59) < window["closes_at"] - now() <= timedelta(hours=1)


async def test_what_is_collected_a_little_late_counts_from_when_it_was_accepted(desk: Desk) -> None:
    [id] = await accept(desk, 1)
    ago = "created_at - interval '9 minutes'"
    await desk.query(f"UPDATE notification SET created_at = {ago} WHERE id = :id", id=id)
    await desk.query(
        "UPDATE queue_entry SET next_at = next_at - interval '9 minutes' WHERE notification_id = :id", id=id
    )
    await collect(desk)
    [window] = await windows(desk)
    assert window["closes_at"] - now() < timedelta(minutes=52)


async def test_what_has_had_a_workflow_is_collected_where_the_first_one_goes_out_at_once(database: Database) -> None:
    """Its workflow has ended, and no other may be started for it."""
    desk = await open_desk(database, digest={"window": "1h", "first_at_once": True})
    await handed_over(desk)
    await collect(desk)
    [window] = await windows(desk)
    assert window["items"] == 1


async def test_the_first_one_goes_out_in_its_types_time_and_worker_processes_are_told(
    database: Database,
) -> None:
    desk = await open_desk(database, digest={"window": "1h", "first_at_once": True}, expires_in="2h")
    [urgent] = await accept(desk, 1, priority=2)
    [calm] = await accept(desk, 1, group="other", priority=3, expires_in=timedelta(minutes=5))
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await database.dedicated()
    try:
        await listener.add_listener(DISPATCH_CHANNEL, lambda *told: heard.put_nowait(str(told[3])))
        await collect(desk)
        assert {await asyncio.wait_for(heard.get(), 60) for _ in range(2)} == {"digest", "queue"}
    finally:
        await listener.close()
    rows = await desk.query(
        "SELECT id, digest_group, expires_at - created_at AS lasts FROM notification WHERE tenant = :t", t=desk.tenant
    )
    assert {row["id"]: (row["digest_group"], row["lasts"]) for row in rows} == {
        urgent: (None, timedelta(hours=2)),
        calm: (None, timedelta(minutes=5)),
    }


async def test_a_window_by_the_calendar_stays_with_the_version_that_has_one(database: Database) -> None:
    """Its tick goes on, and whoever moves gets it at the next time there."""
    desk = await open_desk(database, digest={"schedule": "0 9 * * *"})
    await accept(desk, 1)
    await collect(desk)
    [kind] = await desk.query("SELECT key, spec FROM notification_type WHERE id = :id", id=desk.type_id)
    newer = NotificationType(
        tenant=desk.tenant, key=kind["key"], version=2, spec={**kind["spec"], "digest": {"window": "1h"}}
    )
    async with database.transaction() as session:
        session.add(newer)
    await accept(replace(desk, type_id=newer.id), 1)
    await collect(desk)
    [window] = await windows(desk)
    assert (window["type_id"], window["items"]) == (desk.type_id, 2)
    async with database.transaction() as session:
        assert len(await ticks.calendar_digests(session, desk.tenant, kind["key"])) == 1


MANY = """
INSERT INTO digest (id, tenant, notification_type, type_id, recipient_id, group_key, calendar, filled, items, bytes,
       opened_at, closes_at, told_at)
SELECT gen_random_uuid(), :tenant, 'order.shipped', :type, 'ada', 'g' || i, true, :filled, 1, 10, now(),
       now() - interval '1 hour', now() FROM generate_series(1, 3) i
"""


async def test_a_window_is_closed_in_a_transaction_of_its_own(desk: Desk) -> None:
    await desk.query(MANY, filled=False, tenant=desk.tenant, type=desk.type_id)
    closed = []
    for _ in range(4):
        async with desk.database.transaction() as session:
            closed.append(await digests.close_due(session, desk.tenant, "order.shipped"))
    assert closed == [1, 1, 1, 0]


async def test_a_window_that_another_process_closes_is_skipped(desk: Desk) -> None:
    await desk.query(MANY, filled=True, tenant=desk.tenant, type=desk.type_id)
    [first, *_] = await windows(desk)
    async with desk.database.transaction() as session:
        assert await digests.close_one(session, first["id"])
        assert await close_filled(desk) == 2
    assert await close_filled(desk) == 0
