"""What quotes an erased recipient forgets the quote: an id that is an address, schedules of others and keys."""

import pytest
from sqlalchemy import text

from models.schedules import Schedule
from storage import acceptance, erasures, recipients
from storage.acceptance import find_key_holders
from storage.database import Database
from tests.storage.plain_text import tables_containing
from tests.storage.recipient_histories import CANARY, erase, notification, recipient_with_history
from tests.storage.sends import new_tenant, open_database_tenant

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("recipient_id", ["ada@example.com", "+44 7700 900123", "447700900123"])
async def test_a_recipient_id_that_is_an_address_is_replaced(database: Database, recipient_id: str) -> None:
    tenant = await new_tenant(database)
    known = await recipient_with_history(database, tenant, recipient_id, finished=False)
    async with database.transaction() as session:
        contact = {"contact": {"phone": "+447700900123"}}
        await recipients.merge_profile(session, tenant, recipient_id, contact)
        waiting = "UPDATE queue_entry SET recipient_id = :id, waits_for = 'quiet_hours' WHERE tenant = :tenant"
        await session.execute(text(waiting), {"id": recipient_id, "tenant": tenant})
    erasure = await erase(database, known)
    assert (await notification(database, known))["recipient_id"] == f"erased-{erasure.id}"
    found = {
        table: rows
        for table, rows in (await tables_containing(database, recipient_id)).items()
        if str(tenant) in str(rows)
    }
    assert found == {}


async def test_a_schedule_of_others_loses_quotes_of_the_recipient(database: Database) -> None:
    tenant = await new_tenant(database)
    known = await recipient_with_history(database, tenant)
    payload = {"from": CANARY, "text": f"Ask {CANARY.upper()}!", "ids": ["ada", "adam"], "count": 3, "shop": "A"}
    spec = {"recipients": ["ada", "bob"], "tags": [f"by-{CANARY}", "weekly"], "payload": payload, "cron": "0 9 * * *"}
    async with database.transaction() as session:
        shared = Schedule(tenant=tenant, key="shared", notification_type="report", spec=spec)
        session.add(shared)
    await erase(database, known)
    async with database.transaction() as session:
        after = await session.get_one(Schedule, shared.id)
    assert (after.spec["recipients"], after.spec["tags"]) == (["bob"], ["by-", "weekly"])
    assert after.spec["payload"] == {"from": "", "text": "Ask !", "ids": ["", "adam"], "count": 3, "shop": "A"}


async def test_only_keys_that_quote_the_recipient_are_replaced_and_all_stay_taken(database: Database) -> None:
    """A key that is free again would let the same request send twice to all of its recipients."""
    database_tenant = await open_database_tenant(database)
    quoting, others = {"to-ada@example.com", "ADA@EXAMPLE.COM"}, {"ada@example.community", "xada@example.com", "ada"}
    async with database.transaction() as session:
        for key in quoting | others:
            assert await acceptance.store_results(session, database_tenant.tenant, key, "hash", [], 60)
        await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)
    left = await database_tenant.query(
        "SELECT idempotency_key FROM multi_send WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    kept = {row["idempotency_key"] for row in left}
    assert (len(kept), {key for key in kept if "@" in key}) == (5, others - {"ada"})
    async with database.transaction() as session:
        for key in quoting | others:
            assert await acceptance.find_results(session, database_tenant.tenant, key) is not None
            assert set(await find_key_holders(session, database_tenant.tenant, [key], 60)) == {key}
            assert not await acceptance.store_results(session, database_tenant.tenant, key, "hash", [], 60)
