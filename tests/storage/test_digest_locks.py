"""Who collects, closes, erases and moves people at the same time: each waits at most for somebody who goes on."""

import asyncio
from dataclasses import replace

import pytest

from storage import digest_closing, erasures, recipients
from storage.catalog import Catalog
from storage.database import Database
from storage.digest_collection import collect_waiting
from tests.storage.locks import until_blocked
from tests.storage.sends import Desk, open_desk
from tests.storage.windows import accept, close, close_filled, collect, statuses, windows

pytestmark = pytest.mark.postgres


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await open_desk(database, digest={"window": "1h", "max_items": 2})


async def test_an_erasure_that_began_before_a_window_is_closed_comes_to_its_end(desk: Desk) -> None:
    ids = await accept(desk, 1)
    await collect(desk)
    [window] = await windows(desk)
    async with desk.database.transaction() as session:
        await recipients.find(session, desk.tenant, desk.recipient_id, lock=True)
        closing = asyncio.create_task(close(desk, window["id"]))
        await until_blocked(desk.database, closing)
        await erasures.erase(session, desk.tenant, desk.recipient_id)
    assert await closing == 0
    assert await statuses(desk, *ids) == ["CANCELED"]


async def test_an_erasure_that_begins_while_a_window_is_closed_finds_what_that_became(desk: Desk) -> None:
    await accept(desk, 1)
    await collect(desk)
    [window] = await windows(desk)

    async with desk.database.transaction() as session:
        await digest_closing.close(session, [window["id"]])
        erasing = asyncio.create_task(erase(desk))
        await until_blocked(desk.database, erasing)
    await erasing
    [one] = await desk.query("SELECT * FROM notification WHERE digest_group IS NULL AND tenant = :t", t=desk.tenant)
    assert one["cancel_requested_at"] is not None
    assert one["event_payload"] == {}


async def test_an_erasure_that_renames_a_digest_holds_no_recipient_while_that_is_closed(desk: Desk) -> None:
    desk = await with_address_as_id(desk)
    await accept(desk, 1)
    await collect(desk)
    [window] = await windows(desk)
    async with desk.database.transaction() as session:
        await session.execute(digest_closing.LOCK, {"ids": [window["id"]]})
        erasing = asyncio.create_task(erase(desk))
        await until_blocked(desk.database, erasing)
        assert await digest_closing.close(session, [window["id"]]) == 1
    await erasing
    assert await names(desk) == {"erased"}


async def test_an_erasure_renames_a_digest_that_was_being_opened(desk: Desk) -> None:
    desk = await with_address_as_id(desk)
    await accept(desk, 1)
    async with desk.database.transaction() as session:
        assert await collect_waiting(session, Catalog(desk.database).type_by_id, 10) == 1
        erasing = asyncio.create_task(erase(desk))
        await until_blocked(desk.database, erasing)
    await erasing
    assert await names(desk) == {"erased"}


async def with_address_as_id(desk: Desk) -> Desk:
    desk = replace(desk, recipient_id="ada@example.com")
    async with desk.database.transaction() as session:
        await recipients.replace(session, desk.tenant, desk.recipient_id, {})
    return desk


async def names(desk: Desk) -> set[str]:
    """Of recipients whose digests and notifications there are; `erased` without the id of the erasure."""
    rows = [*await windows(desk), *await desk.query("SELECT * FROM notification WHERE tenant = :t", t=desk.tenant)]
    return {row["recipient_id"].partition("-")[0] for row in rows}


async def erase(desk: Desk) -> None:
    async with desk.database.transaction() as session:
        await erasures.erase(session, desk.tenant, desk.recipient_id)


async def test_whoever_fills_a_window_does_not_wait_for_its_person(desk: Desk) -> None:
    """It holds their items, for which the erasure waits."""
    ids = await accept(desk, 2)
    async with desk.database.transaction() as session:
        await recipients.find(session, desk.tenant, desk.recipient_id, lock=True)
        assert await asyncio.wait_for(collect(desk), 60) == 2
        await erasures.erase(session, desk.tenant, desk.recipient_id)
    await close_filled(desk)
    assert await statuses(desk, *ids) == ["CANCELED", "CANCELED"]


async def test_whoever_waits_for_a_window_that_is_closed_holds_no_item(desk: Desk) -> None:
    """The window waits for the erasure, and that for the items."""
    await accept(desk, 1)
    await collect(desk)
    [window] = await windows(desk)
    await accept(desk, 1)
    async with desk.database.transaction() as session:
        await recipients.find(session, desk.tenant, desk.recipient_id, lock=True)
        closing = asyncio.create_task(close(desk, window["id"]))
        await until_blocked(desk.database, closing)
        collecting = asyncio.create_task(collect(desk))
        await until_blocked(desk.database, collecting, beside=1)
        await erasures.erase(session, desk.tenant, desk.recipient_id)
    assert (await closing, await collecting) == (0, 1)


async def test_a_profile_that_changes_does_not_wait_for_what_names_its_person(desk: Desk) -> None:
    """Such as a window that is closed, which may wait for the windows of whoever moves."""
    async with desk.database.transaction() as closing, desk.database.transaction() as session:
        assert await recipients.known(closing, desk.tenant, [desk.recipient_id])
        merging = recipients.merge(session, desk.tenant, desk.recipient_id, {"timezone": "Asia/Tokyo"})
        assert await asyncio.wait_for(merging, 60) is not None
