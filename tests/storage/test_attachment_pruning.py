"""Delete the files that no open notification uses, page by page, also while files are uploaded and sent."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from dispatch.pruning import PruningTask
from domain.clock import now
from domain.cursors import first_id_at
from storage import attachment_removal, attachments
from storage.database import Database
from tests.storage.locks import until_blocked
from tests.storage.queues import end_notifications
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant
from tests.storage.stored_files import DAY, PARTS, content, count_chunks, database, ids, save, set_age, stored, use

__all__ = ["database"]

pytestmark = pytest.mark.postgres
MAX_AGE = 7 * DAY


async def prune(database: Database, **more: Any) -> int:
    async with database.transaction() as session:
        return await attachment_removal.prune(session, now(), MAX_AGE, **more)


async def test_an_old_file_is_deleted_with_its_content_and_counted(database_tenant: DatabaseTenant) -> None:
    kept = await stored(database_tenant, age=MAX_AGE)
    await stored(database_tenant, "b.txt", age=MAX_AGE + DAY)
    await prune(database_tenant.database)
    assert await ids(database_tenant) == {kept}
    assert await content(database_tenant, kept) == b"first second"
    await set_age(database_tenant, kept, MAX_AGE + DAY)
    work = PruningTask(database_tenant.database, DAY, MAX_AGE)
    while await work.prune() < 1:
        pass
    assert (await ids(database_tenant), await count_chunks(database_tenant)) == (set(), 0)
    [row] = await database_tenant.query("SELECT rows FROM pruned_count WHERE name = 'attachment'")
    assert row["rows"] == 2


async def test_the_same_content_of_another_tenant_is_kept(database_tenant: DatabaseTenant) -> None:
    other = await open_database_tenant(database_tenant.database)
    await stored(database_tenant, age=MAX_AGE + DAY)
    kept = await stored(other)
    await prune(database_tenant.database)
    assert await ids(database_tenant) == {kept}
    assert await content(other, kept) == b"first second"
    assert await count_chunks(database_tenant) == len(PARTS)


async def test_a_batch_examines_a_limited_number_of_files(database_tenant: DatabaseTenant) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        await stored(database_tenant, name, age=MAX_AGE + DAY)
    assert [await prune(database_tenant.database, limit=2) for _ in "123"] == [2, 1, 0]
    assert await count_chunks(database_tenant) == 0


async def test_a_file_of_an_open_notification_is_kept_until_days_after_its_end(
    database_tenant: DatabaseTenant,
) -> None:
    id, sent = await stored(database_tenant), await database_tenant.send()
    await use(database_tenant, sent.id, id)
    await set_age(database_tenant, id, MAX_AGE + DAY)
    assert await prune(database_tenant.database) == 1
    assert await prune(database_tenant.database) == 0  # it counts as used now
    await end_notifications(database_tenant, sent.id)
    await set_age(database_tenant, id, MAX_AGE + DAY)
    await prune(database_tenant.database)
    assert await ids(database_tenant) == set()
    assert len(await sent.rows("attachment_use")) == 1


async def finished_sends(database_tenant: DatabaseTenant, count: int) -> list[DatabaseSend]:
    sends = [await database_tenant.send() for _ in range(count)]
    await end_notifications(database_tenant, *(sent.id for sent in sends))
    return sends


@pytest.mark.parametrize("is_open", [False, True])
async def test_many_uses_are_examined_in_pages(database_tenant: DatabaseTenant, *, is_open: bool) -> None:
    id, sends = await stored(database_tenant), await finished_sends(database_tenant, 4)
    last = [await database_tenant.send()] if is_open else await finished_sends(database_tenant, 1)
    for sent in (*sends, *last):
        await use(database_tenant, sent.id, id)
    await set_age(database_tenant, id, MAX_AGE + DAY)
    assert [await prune(database_tenant.database, page=2) for _ in "1234"] == [1, 1, 1, 0]
    assert await ids(database_tenant) == ({id} if is_open else set())


async def test_a_new_use_restarts_the_examination(database_tenant: DatabaseTenant) -> None:
    id, sends = await stored(database_tenant), await finished_sends(database_tenant, 2)
    first = await database_tenant.send(id=UUID(int=7))  # sorts before those that are examined already
    for sent in sends:
        await use(database_tenant, sent.id, id)
    await set_age(database_tenant, id, MAX_AGE + DAY)
    assert await prune(database_tenant.database, page=2) == 1
    await use(database_tenant, first.id, id)
    await set_age(database_tenant, id, MAX_AGE + DAY)
    while await prune(database_tenant.database, page=2):
        pass
    assert await ids(database_tenant) == {id}


async def test_a_redrive_keeps_the_files_of_the_notification(database_tenant: DatabaseTenant) -> None:
    id, sent = await stored(database_tenant), await database_tenant.send()
    await use(database_tenant, sent.id, id)
    await sent.failed()
    await set_age(database_tenant, id, MAX_AGE + DAY)
    await sent.redriven()
    assert await prune(database_tenant.database) == 0
    assert await ids(database_tenant) == {id}


async def test_uses_are_deleted_with_the_record_of_the_notification(database_tenant: DatabaseTenant) -> None:
    await database_tenant.query("UPDATE tenant SET content_days = 1, record_days = 1")
    id, sent = await stored(database_tenant), await database_tenant.send(id=first_id_at(now() - 3 * DAY))
    await use(database_tenant, sent.id, id)
    await end_notifications(database_tenant, sent.id)
    await database_tenant.query("UPDATE notification SET finished_at = :at", at=now() - 2 * DAY)
    work = PruningTask(database_tenant.database, DAY, MAX_AGE)
    while await work.prune() < 1:
        pass
    assert await sent.rows("attachment_use") == []
    assert await ids(database_tenant) == {id}


@pytest.mark.parametrize("name", ["a.txt", "b.txt"])
async def test_an_upload_during_pruning_waits_and_stores_the_content_again(
    database_tenant: DatabaseTenant, name: str
) -> None:
    old = await stored(database_tenant, age=MAX_AGE + DAY)
    database = database_tenant.database
    async with database.transaction() as session:
        await attachment_removal.prune(session, now(), MAX_AGE)
        uploading = asyncio.create_task(stored(database_tenant, name))
        await until_blocked(database, uploading)
    again = await uploading
    assert again != old
    assert await content(database_tenant, again) == b"first second"


@pytest.mark.parametrize("name", ["a.txt", "b.txt"])
async def test_pruning_during_an_upload_waits_and_keeps_the_content(database_tenant: DatabaseTenant, name: str) -> None:
    old = await stored(database_tenant, age=MAX_AGE + DAY)
    database = database_tenant.database
    async with database.transaction() as session:
        file, is_new = await save(session, database_tenant.tenant, name)
        pruning = asyncio.create_task(prune(database))
        await until_blocked(database, pruning)
    await pruning
    assert is_new is (name == "b.txt")
    assert (file.id == old) is not is_new
    assert await ids(database_tenant) == {file.id}
    assert await content(database_tenant, file.id) == b"first second"


async def test_a_file_that_a_send_uses_at_the_moment_is_not_deleted(database_tenant: DatabaseTenant) -> None:
    id, sent = await stored(database_tenant, age=MAX_AGE + DAY), await database_tenant.send()
    async with database_tenant.database.transaction() as session:
        assert await attachments.record_uses(session, database_tenant.tenant, {sent.id: [id]}) == set()
        await prune(database_tenant.database)
    await prune(database_tenant.database)
    assert await ids(database_tenant) == {id}


async def test_a_send_during_the_deletion_waits_and_learns_that_the_file_is_missing(
    database_tenant: DatabaseTenant,
) -> None:
    id, sent = await stored(database_tenant, age=MAX_AGE + DAY), await database_tenant.send()
    async with database_tenant.database.transaction() as session:
        await attachment_removal.prune(session, now(), MAX_AGE)
        sending = asyncio.create_task(use(database_tenant, sent.id, id))
        await until_blocked(database_tenant.database, sending)
    assert await sending == {id}
    assert await sent.rows("attachment_use") == []
