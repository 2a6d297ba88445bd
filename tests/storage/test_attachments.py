"""Test how attachments are stored, found, used and erased, also while they are uploaded and sent."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from models.columns import new_id
from storage import attachments, erasures, recipients
from storage.connections import IDLE_IN_TRANSACTION_TIMEOUT
from storage.database import Database
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseTenant, open_database_tenant
from tests.storage.stored_files import DAY, content, count_chunks, database, ids, save, stored, use

__all__ = ["database"]

pytestmark = pytest.mark.postgres
SHOW_TIMEOUT = text("SHOW idle_in_transaction_session_timeout")


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
