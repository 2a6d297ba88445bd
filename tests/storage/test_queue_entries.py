"""A notification has a queue entry while it is open, and while its workflow is to be signaled of a cancel."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.cancellation import cancel_notification
from domain.channels import Channel
from domain.clock import now
from domain.gates import Gate, GateReason
from domain.ledger import finish_notification
from domain.records import Ledger
from models.notifications import Notification
from models.queue import QueueEntry
from storage import claims, gates
from storage.claims import ClaimedNotification
from storage.database import Database
from storage.ledgers import amend
from tests.storage.locks import until_blocked
from tests.storage.queues import MANY_SLOTS, NO_LOOK_BACK_LIMIT, PROCESS, claim, mark_begun_entries
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def accepted(database: Database) -> DatabaseSend:
    """The only open notification of the database; claims are made over all tenants."""
    database_tenant = await open_database_tenant(database)
    await database_tenant.query("TRUNCATE notification, queue_entry CASCADE")
    item = database_tenant.new()
    await database_tenant.accept(item)
    return DatabaseSend(database_tenant=database_tenant, id=item.id, channels=(Channel.EMAIL,))


async def claimed(sent: DatabaseSend) -> list[ClaimedNotification]:
    return await claim(sent.database_tenant.database)


async def marked(sent: DatabaseSend) -> None:
    await mark_begun_entries(sent.database_tenant.database, sent.id, generation=sent.generation)


async def canceled(sent: DatabaseSend) -> Ledger:
    async with sent.database_tenant.database.transaction() as session:
        return await amend(session, sent.ref, lambda ledger: cancel_notification(ledger, now()))


async def to_signal(sent: DatabaseSend) -> list[tuple[UUID, UUID, int]]:
    async with sent.database_tenant.database.transaction() as session:
        return await claims.list_unsignaled_cancels(session, 10)


async def signaled(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await claims.mark_cancels_signaled(session, [(sent.id, sent.database_tenant.tenant, sent.generation)])


async def state(sent: DatabaseSend) -> str | None:
    entry = await sent.entry()
    return None if entry is None else str(entry["state"])


async def test_an_entry_is_due_claimed_started_and_deleted(accepted: DatabaseSend) -> None:
    seen = [await state(accepted)]
    assert [one.id for one in await claimed(accepted)] == [accepted.id]
    seen.append(await state(accepted))
    await marked(accepted)
    seen.append(await state(accepted))
    async with accepted.database_tenant.database.transaction() as session:
        await amend(session, accepted.ref, lambda ledger: finish_notification(ledger, now()))
    assert [*seen, await state(accepted)] == ["due", "claimed", "started", None]


async def test_a_cancel_before_any_claim_ends_it(accepted: DatabaseSend) -> None:
    await canceled(accepted)
    assert await state(accepted) is None


async def test_a_cancel_of_a_started_one_stays_until_its_workflow_is_signaled(accepted: DatabaseSend) -> None:
    await claimed(accepted)
    await marked(accepted)
    await canceled(accepted)
    assert await to_signal(accepted) == [(accepted.id, accepted.database_tenant.tenant, 1)]
    await signaled(accepted)
    assert await state(accepted) is None


async def test_a_cancel_of_a_claimed_one_is_signaled_after_its_start(accepted: DatabaseSend) -> None:
    await claimed(accepted)
    await canceled(accepted)
    assert await to_signal(accepted) == []
    await marked(accepted)
    assert await to_signal(accepted) == [(accepted.id, accepted.database_tenant.tenant, 1)]


async def test_a_cancel_is_signaled_when_the_claim_of_a_dead_dispatcher_expires(accepted: DatabaseSend) -> None:
    await claimed(accepted)
    await canceled(accepted)
    await accepted.database_tenant.query("UPDATE queue_entry SET next_at = next_at - interval '12 seconds'")
    assert await claimed(accepted) == []
    assert await to_signal(accepted) == [(accepted.id, accepted.database_tenant.tenant, 1)]


async def test_a_cancel_at_the_moment_of_a_claim_is_signaled(accepted: DatabaseSend) -> None:
    """It waits for the claim, and then knows that a start may be under way."""
    async with accepted.database_tenant.database.transaction() as session:
        assert (
            len((await claims.claim_due(session, PROCESS, MANY_SLOTS, batch_size=10, look_back=NO_LOOK_BACK_LIMIT))[0])
            == 1
        )
        canceling = asyncio.create_task(canceled(accepted))
        await until_blocked(accepted.database_tenant.database, canceling)
    await canceling
    await marked(accepted)
    assert await to_signal(accepted) == [(accepted.id, accepted.database_tenant.tenant, 1)]


async def test_a_wait_begun_before_the_start_is_marked_stays_a_wait(accepted: DatabaseSend) -> None:
    await claimed(accepted)
    async with accepted.database_tenant.database.transaction() as session:
        await gates.wait_at_gate(session, accepted.ref, 1, Gate(reason=GateReason.QUIET_HOURS, until=now()))
    await marked(accepted)
    assert await state(accepted) == "waiting"
    async with accepted.database_tenant.database.transaction() as session:
        assert await gates.pass_gates(session, accepted.ref)
    assert await state(accepted) == "started"


async def test_evidence_that_comes_during_a_signal_stays_due(accepted: DatabaseSend) -> None:
    async def come() -> None:
        async with accepted.database_tenant.database.transaction() as session:
            await amend(session, accepted.ref, lambda ledger: replace(ledger, evidence_due=True))

    await come()
    async with accepted.database_tenant.database.transaction() as session:
        read = await claims.list_unsignaled_evidence(session, 10)
    await come()
    async with accepted.database_tenant.database.transaction() as session:
        await claims.mark_evidence_signaled(session, read)
        assert [due.id for due in await claims.list_unsignaled_evidence(session, 10)] == [accepted.id]


async def test_a_redriven_one_has_an_entry_of_its_new_generation(database_tenant: DatabaseTenant) -> None:
    failed = await (await database_tenant.send()).failed()
    assert await failed.entry() is None
    entry = await (await failed.redriven()).entry()
    assert entry is not None
    assert (entry["generation"], entry["state"]) == (2, "due")


async def test_an_old_generation_writes_nothing(database_tenant: DatabaseTenant) -> None:
    again = await (await (await database_tenant.send()).failed()).redriven()
    before = await again.entry()
    await marked(replace(again, generation=1))
    await signaled(replace(again, generation=1))
    async with database_tenant.database.transaction() as session:
        await gates.wait_at_gate(session, again.ref, 1, Gate(reason=GateReason.QUIET_HOURS, until=now()))
        await claims.redispatch(session, again.id, 1)
    assert await again.entry() == before


async def test_notification_has_at_most_nine_indexes(database_tenant: DatabaseTenant) -> None:
    """Each costs every insert, and every update that is not HOT. One that ordinary sends never enter costs neither."""
    indexes = await database_tenant.query("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'notification'")
    optional = [f"({name} IS NOT NULL)" for name in ("digest_id", "schedule_id", "cancel_key")]
    never_entered = [each for each in indexes if any(condition in str(each["indexdef"]) for condition in optional)]
    assert {str(each["indexname"]) for each in never_entered} == {
        "notification_of_digest",
        "notification_of_schedule",
        "notification_of_cancel_key",
        "notification_with_cancel_key",
    }
    assert len(indexes) - len(never_entered) <= 9, indexes


@pytest.mark.parametrize("model", [QueueEntry, Notification])
async def test_the_storage_parameters_are_those_of_the_model(database_tenant: DatabaseTenant, model: Any) -> None:
    """The migrations set them; a comparison of the schema does not see them."""
    declared = {f"{name}={value}" for name, value in model.__table__.dialect_options["postgresql"]["with"].items()}
    async with database_tenant.database.transaction() as session:
        found = await session.execute(
            text("SELECT reloptions FROM pg_class WHERE relname = :name"), {"name": model.__tablename__}
        )
        assert set(found.scalar_one()) == declared
