"""Windows and their items as rows: each item is in one window, each window becomes one notification, whoever races."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.cancellation import cancel
from domain.clock import now
from storage import digest_closing, digests, erasures, recipients
from storage.catalog import Catalog
from storage.database import Database
from storage.digest_collection import collect_waiting
from storage.ledgers import Key, amend
from tests.storage.databases import own_database
from tests.storage.locks import until_blocked
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres
GROUP = "g"


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Its own: nobody else collects what waits here."""
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await open_desk(database, digest={"window": "1h", "max_items": 5})


async def accept(desk: Desk, count: int, group: str = GROUP, **more: Any) -> list[UUID]:
    items = [desk.new(digest_group=group, event_payload={"n": number}, **more) for number in range(count)]
    await desk.accept(*items)
    return [item.id for item in items]


async def collect(desk: Desk, limit: int = 500) -> int:
    catalog = Catalog(desk.database)
    async with desk.database.transaction() as session:
        return await collect_waiting(session, catalog.type_by_id, limit)


async def windows(desk: Desk) -> list[dict[str, Any]]:
    return await desk.query("SELECT * FROM digest WHERE tenant = :tenant ORDER BY id", tenant=desk.tenant)


async def close(desk: Desk, *ids: UUID) -> int:
    async with desk.database.transaction() as session:
        return await digest_closing.close(session, ids)


async def made(desk: Desk) -> list[dict[str, Any]]:
    return await desk.query(
        "SELECT * FROM notification WHERE tenant = :tenant AND digest_id IS NOT NULL AND digest_group IS NULL",
        tenant=desk.tenant,
    )


async def statuses(desk: Desk, *ids: UUID) -> list[str]:
    rows = await desk.query("SELECT status FROM notification WHERE id = ANY(:ids) ORDER BY id", ids=list(ids))
    return [row["status"] for row in rows]


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


async def test_what_is_full_is_closed_in_the_same_transaction_and_the_rest_opens_the_next(desk: Desk) -> None:
    ids = await accept(desk, 12)
    await collect(desk)
    assert sorted(window["items"] for window in await windows(desk)) == [2, 5, 5]
    assert sorted(await statuses(desk, *ids)) == ["DIGESTED"] * 10 + ["PENDING"] * 2
    payloads = [row["event_payload"] for row in await made(desk)]
    assert sorted(item["n"] for payload in payloads for item in payload["items"]) == list(range(10))


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
    async with desk.database.transaction() as session:
        assert await digests.close_overdue(session, 10, 1_200, 100) == 0
    await desk.query("UPDATE digest SET closes_at = now() - interval '11 seconds' WHERE tenant = :t", t=desk.tenant)
    async with desk.database.transaction() as session:
        assert await digests.close_overdue(session, 10, 1_200, 100) == 1
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
