"""A notification has a queue entry while it is open, and while its workflow is to be signaled of a cancel."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.cancellation import cancel
from domain.channels import Channel
from domain.clock import now
from domain.gates import GateReason
from domain.ledger import finish
from domain.messages import Gate
from domain.records import Ledger
from models.notifications import Notification
from models.queue import QueueEntry
from storage import claims, dispatching, gates
from storage.claims import Claimed
from storage.database import Database
from storage.ledgers import amend
from tests.storage.locks import until_blocked
from tests.storage.queues import EVER, MANY, ME, claim, mark
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres


@pytest.fixture
async def accepted(database: Database) -> Sent:
    """The only open notification of the database; claims are made over all tenants."""
    desk = await open_desk(database)
    await desk.query("TRUNCATE notification, queue_entry CASCADE")
    item = desk.new()
    await desk.accept(item)
    return Sent(desk=desk, id=item.id, channels=(Channel.EMAIL,))


async def claimed(sent: Sent) -> list[Claimed]:
    return await claim(sent.desk.database)


async def marked(sent: Sent) -> None:
    await mark(sent.desk.database, sent.id, generation=sent.generation)


async def canceled(sent: Sent) -> Ledger:
    async with sent.desk.database.transaction() as session:
        return await amend(session, sent.key, lambda ledger: cancel(ledger, now()))


async def to_signal(sent: Sent) -> list[tuple[UUID, UUID, int]]:
    async with sent.desk.database.transaction() as session:
        return await dispatching.unsignaled_cancels(session, 10)


async def signaled(sent: Sent) -> None:
    async with sent.desk.database.transaction() as session:
        await dispatching.mark_signaled(session, [(sent.id, sent.desk.tenant, sent.generation)])


async def state(sent: Sent) -> str | None:
    entry = await sent.entry()
    return None if entry is None else str(entry["state"])


async def test_it_is_due_claimed_started_and_gone(accepted: Sent) -> None:
    seen = [await state(accepted)]
    assert [one.id for one in await claimed(accepted)] == [accepted.id]
    seen.append(await state(accepted))
    await marked(accepted)
    seen.append(await state(accepted))
    async with accepted.desk.database.transaction() as session:
        await amend(session, accepted.key, lambda ledger: finish(ledger, now()))
    assert [*seen, await state(accepted)] == ["due", "claimed", "started", None]


async def test_a_cancel_before_any_claim_ends_it(accepted: Sent) -> None:
    await canceled(accepted)
    assert await state(accepted) is None


async def test_a_cancel_of_a_started_one_stays_until_its_workflow_is_signaled(accepted: Sent) -> None:
    await claimed(accepted)
    await marked(accepted)
    await canceled(accepted)
    assert await to_signal(accepted) == [(accepted.id, accepted.desk.tenant, 1)]
    await signaled(accepted)
    assert await state(accepted) is None


async def test_a_cancel_of_a_claimed_one_is_signaled_after_its_start(accepted: Sent) -> None:
    await claimed(accepted)
    await canceled(accepted)
    assert await to_signal(accepted) == []
    await marked(accepted)
    assert await to_signal(accepted) == [(accepted.id, accepted.desk.tenant, 1)]


async def test_a_cancel_of_a_claim_whose_dispatcher_died_is_signaled_when_that_expires(accepted: Sent) -> None:
    await claimed(accepted)
    await canceled(accepted)
    await accepted.desk.query("UPDATE queue_entry SET next_at = next_at - interval '12 seconds'")
    assert await claimed(accepted) == []
    assert await to_signal(accepted) == [(accepted.id, accepted.desk.tenant, 1)]


async def test_a_cancel_at_the_moment_of_a_claim_is_signaled(accepted: Sent) -> None:
    """It waits for the claim, and then knows that a start may be under way."""
    async with accepted.desk.database.transaction() as session:
        assert len((await claims.claim(session, ME, MANY, most=10, look_back=EVER))[0]) == 1
        canceling = asyncio.create_task(canceled(accepted))
        await until_blocked(accepted.desk.database, canceling)
    await canceling
    await marked(accepted)
    assert await to_signal(accepted) == [(accepted.id, accepted.desk.tenant, 1)]


async def test_a_wait_begun_before_the_start_is_marked_stays_a_wait(accepted: Sent) -> None:
    await claimed(accepted)
    async with accepted.desk.database.transaction() as session:
        await gates.wait(session, accepted.key, 1, Gate(reason=GateReason.QUIET_HOURS, until=now()))
    await marked(accepted)
    assert await state(accepted) == "waiting"
    async with accepted.desk.database.transaction() as session:
        assert await gates.passed(session, accepted.key)
    assert await state(accepted) == "started"


async def test_evidence_that_comes_during_a_signal_stays_due(accepted: Sent) -> None:
    async def come() -> None:
        async with accepted.desk.database.transaction() as session:
            await amend(session, accepted.key, lambda ledger: replace(ledger, evidence_due=True))

    await come()
    async with accepted.desk.database.transaction() as session:
        read = await dispatching.evidence_due(session, 10)
    await come()
    async with accepted.desk.database.transaction() as session:
        await dispatching.evidence_told(session, read)
        assert [due.id for due in await dispatching.evidence_due(session, 10)] == [accepted.id]


async def test_a_redriven_one_has_an_entry_of_its_new_generation(desk: Desk) -> None:
    failed = await (await desk.send()).failed()
    assert await failed.entry() is None
    entry = await (await failed.redriven()).entry()
    assert entry is not None
    assert (entry["generation"], entry["state"]) == (2, "due")


async def test_an_old_generation_writes_nothing(desk: Desk) -> None:
    again = await (await (await desk.send()).failed()).redriven()
    before = await again.entry()
    await marked(replace(again, generation=1))
    await signaled(replace(again, generation=1))
    async with desk.database.transaction() as session:
        await gates.wait(session, again.key, 1, Gate(reason=GateReason.QUIET_HOURS, until=now()))
        await dispatching.redispatch(session, again.id, 1)
    assert await again.entry() == before


async def test_notification_has_at_most_nine_indexes(desk: Desk) -> None:
    """Each costs every insert, and every update that is not HOT. One that ordinary sends never enter costs neither."""
    indexes = await desk.query("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'notification'")
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
async def test_the_storage_parameters_are_those_of_the_model(desk: Desk, model: Any) -> None:
    """The migrations set them; a comparison of the schema does not see them."""
    declared = {f"{name}={value}" for name, value in model.__table__.dialect_options["postgresql"]["with"].items()}
    async with desk.database.transaction() as session:
        found = await session.execute(
            text("SELECT reloptions FROM pg_class WHERE relname = :name"), {"name": model.__tablename__}
        )
        assert set(found.scalar_one()) == declared
