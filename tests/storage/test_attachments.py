"""Test how attachments are found, used, deleted and erased, also while they are uploaded and sent."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from dispatch.pruning import PruningTask
from domain.clock import now
from domain.cursors import first_id_at
from models.columns import new_id
from storage import attachment_removal, attachments, erasures, recipients
from storage.attachments import ReceivedContent, StoredAttachment
from storage.connections import IDLE_IN_TRANSACTION_TIMEOUT
from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.locks import until_blocked
from tests.storage.queues import end_notifications
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

DAY = timedelta(days=1)
MAX_AGE = 7 * DAY
PARTS = (b"first ", b"second")
SHOW_TIMEOUT = text("SHOW idle_in_transaction_session_timeout")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await open_database_tenant(database)


async def save(
    session: AsyncSession, tenant: UUID, name: str = "a.txt", parts: tuple[bytes, ...] = PARTS
) -> tuple[StoredAttachment, bool]:
    upload, whole = f"upload {uuid4()}", b"".join(parts)
    for position, part in enumerate(parts):
        await attachments.add_chunk(session, tenant, upload, position, part)
    content = ReceivedContent(upload=upload, sha256=hashlib.sha256(whole).hexdigest(), size=len(whole))
    return await attachments.save(session, tenant, name, "text/plain", content, 0)


async def stored(database_tenant: DatabaseTenant, name: str = "a.txt", *, age: timedelta = timedelta(0)) -> UUID:
    async with database_tenant.database.transaction() as session:
        file, _ = await save(session, database_tenant.tenant, name)
    await set_age(database_tenant, file.id, age)
    return file.id


async def set_age(database_tenant: DatabaseTenant, id: UUID, age: timedelta) -> None:
    statement = "UPDATE attachment SET last_used_at = :at WHERE id = :id"
    await database_tenant.query(statement, at=now() - age, id=id)


async def use(database_tenant: DatabaseTenant, notification: UUID, *ids: UUID) -> set[UUID]:
    async with database_tenant.database.transaction() as session:
        return await attachments.record_uses(session, database_tenant.tenant, {notification: ids})


async def prune(database: Database, **more: Any) -> int:
    async with database.transaction() as session:
        return await attachment_removal.prune(session, now(), MAX_AGE, **more)


async def content(database_tenant: DatabaseTenant, id: UUID) -> bytes | None:
    async with database_tenant.database.statement() as session:
        return await attachments.read_content(session, database_tenant.tenant, id)


async def ids(database_tenant: DatabaseTenant) -> set[UUID]:
    return {row["id"] for row in await database_tenant.query("SELECT id FROM attachment")}


async def count_chunks(database_tenant: DatabaseTenant) -> int:
    return len(await database_tenant.query("SELECT 1 AS chunk FROM attachment_chunk"))


async def test_an_upload_may_wait_longer_for_its_client_until_the_file_is_saved(
    database_tenant: DatabaseTenant,
) -> None:
    async with database_tenant.database.transaction() as session:
        await attachments.allow_idling(session, 40)
        timeouts = [(await session.execute(SHOW_TIMEOUT)).scalar_one()]
        await save(session, database_tenant.tenant)
        timeouts.append((await session.execute(SHOW_TIMEOUT)).scalar_one())
    assert timeouts == ["40s", f"{IDLE_IN_TRANSACTION_TIMEOUT}s"]


async def test_an_upload_during_an_erasure_keeps_the_content(database_tenant: DatabaseTenant) -> None:
    sent = await database_tenant.send()
    await use(database_tenant, sent.id, await stored(database_tenant))
    async with database_tenant.database.transaction() as session:
        file, _ = await save(session, database_tenant.tenant, "b.txt")
        erasing = asyncio.create_task(erase(database_tenant.database, database_tenant.tenant))
        await until_blocked(database_tenant.database, erasing)
    assert (await erasing)["attachments"] == 1
    assert await content(database_tenant, file.id) == b"first second"


async def test_the_content_is_read_in_the_order_of_its_chunks(database_tenant: DatabaseTenant) -> None:
    id = await stored(database_tenant)
    assert await content(database_tenant, id) == b"first second"
    assert await content(database_tenant, uuid4()) is None


async def test_missing_attachments_are_reported_and_the_others_recorded(database_tenant: DatabaseTenant) -> None:
    one, other, missing = await stored(database_tenant), await stored(database_tenant, "b.txt"), uuid4()
    foreign = await stored(await open_database_tenant(database_tenant.database))
    sent = await database_tenant.send()
    assert await use(database_tenant, sent.id, one, missing, other, foreign) == {missing, foreign}
    assert await use(database_tenant, sent.id, one) == set()
    assert {row["attachment_id"] for row in await sent.rows("attachment_use")} == {one, other}
    async with database_tenant.database.statement() as session:
        found = await attachments.find_attachments(session, database_tenant.tenant, [one, missing, foreign])
    assert [(id, file.name, file.size) for id, file in found.items()] == [(one, "a.txt", 12)]


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


async def test_sends_with_the_same_files_in_another_order_do_not_block_each_other(
    database_tenant: DatabaseTenant,
) -> None:
    one, other = await stored(database_tenant, age=DAY), await stored(database_tenant, "b.txt", age=DAY)
    sends = [await database_tenant.send() for _ in range(8)]
    uses = [(one, other) if index % 2 else (other, one) for index in range(8)]
    results = await asyncio.gather(
        *(use(database_tenant, sent.id, *ids) for sent, ids in zip(sends, uses, strict=True))
    )
    assert results == [set()] * 8
    async with database_tenant.database.transaction() as session:
        await attachments.record_uses(session, database_tenant.tenant, {sends[0].id: [one]})
        assert await use(database_tenant, sends[1].id, one) == set()  # although the other has not ended


async def erase(database: Database, tenant: UUID, recipient_id: str = "ada") -> dict[str, Any]:
    async with database.transaction() as session:
        erasure = await erasures.erase_at_once(session, tenant, recipient_id)
    assert erasure is not None
    return erasure.counts


async def add_recipient(database_tenant: DatabaseTenant, recipient_id: str) -> None:
    async with database_tenant.database.transaction() as session:
        await recipients.replace_profile(session, database_tenant.tenant, recipient_id, {"contact": {}})


async def test_an_erasure_deletes_the_files_that_only_this_recipient_got(database_tenant: DatabaseTenant) -> None:
    await add_recipient(database_tenant, "bob")
    own, shared, unused = [await stored(database_tenant, name) for name in ("own.txt", "shared.txt", "unused.txt")]
    sent, sent_to_bob = await database_tenant.send(), await database_tenant.send(recipient_id="bob")
    await use(database_tenant, sent.id, own, shared)
    await use(database_tenant, sent_to_bob.id, shared)
    assert (await erase(database_tenant.database, database_tenant.tenant))["attachments"] == 1
    assert await ids(database_tenant) == {shared, unused}
    assert await content(database_tenant, shared) == b"first second"


async def test_an_erasure_deletes_the_content_of_its_files(database_tenant: DatabaseTenant) -> None:
    sent = await database_tenant.send()
    await use(database_tenant, sent.id, await stored(database_tenant))
    await erase(database_tenant.database, database_tenant.tenant)
    assert (await ids(database_tenant), await count_chunks(database_tenant)) == (set(), 0)


async def test_an_erasure_in_batches_deletes_a_file_with_its_last_use(database_tenant: DatabaseTenant) -> None:
    database = database_tenant.database
    id, sends = await stored(database_tenant), [await database_tenant.send() for _ in range(3)]
    await use(database_tenant, sends[0].id, id)
    await use(database_tenant, sends[2].id, id)
    async with database.transaction() as session:
        await erasures.begin_erasure(session, database_tenant.tenant, "ada", limit=2)
    async with database.transaction() as session:
        assert await erasures.erase_next_batch(session, limit=2)
    assert await ids(database_tenant) == {id}
    more = True
    while more:
        async with database.transaction() as session:
            more = await erasures.erase_next_batch(session, limit=2)
    assert await ids(database_tenant) == set()


async def test_an_erasure_waits_for_a_send_with_its_file_to_another_recipient(
    database_tenant: DatabaseTenant,
) -> None:
    await add_recipient(database_tenant, "bob")
    id, sent = await stored(database_tenant), await database_tenant.send()
    sent_to_bob = await database_tenant.send(recipient_id="bob", id=new_id())
    await use(database_tenant, sent.id, id)
    async with database_tenant.database.transaction() as session:
        await attachments.record_uses(session, database_tenant.tenant, {sent_to_bob.id: [id]})
        erasing = asyncio.create_task(erase(database_tenant.database, database_tenant.tenant))
        await until_blocked(database_tenant.database, erasing)
    assert (await erasing)["attachments"] == 0
    assert await ids(database_tenant) == {id}
