"""Notifications wait at gates, are due at the end of the wait, and report why they wait."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.evidence import AttemptState
from domain.gates import Gate, GateReason
from domain.holds import HoldKind, circuit_hold
from domain.waits import CurrentWait, WaitReason
from storage import gates, holds
from storage.claims import set_wait
from storage.database import Database
from tests.storage.queues import (
    accept_notifications,
    age_entries,
    claim,
    claim_and_start,
    end_waits,
    entry_of,
    from_now,
    ids,
    mark_begun_entries,
    only_database_tenant,
    state_of,
)
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

SOON, ONE_HOUR = timedelta(seconds=30), timedelta(hours=1)


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def test_a_wait_for_send_at_ends_at_that_time(database_tenant: DatabaseTenant) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    await claim(database_tenant.database)
    await mark_begun_entries(database_tenant.database, one, waits_until=from_now(ONE_HOUR))
    entry = await entry_of(database_tenant, one)
    assert [entry["state"], entry["claimed_by"]] == ["waiting", None]
    assert await end_waits(database_tenant.database) == 0
    await age_entries(database_tenant, ONE_HOUR.total_seconds())
    assert await end_waits(database_tenant.database) == 1
    [again] = await claim(database_tenant.database)
    assert (again.id, again.has_workflow) == (one, True)
    await mark_begun_entries(database_tenant.database, one)
    assert await state_of(database_tenant, one) == "started"


async def test_waits_end_by_priority_and_within_it_the_oldest_first(database_tenant: DatabaseTenant) -> None:
    some = dict(
        zip(("late", "early", "urgent", "bulk"), await accept_notifications(database_tenant, 3, 3, 1, 5), strict=True)
    )
    await claim_and_start(database_tenant.database, *some.values())
    for name, ago in (("late", 1), ("early", 9), ("urgent", 1), ("bulk", 60)):
        async with database_tenant.database.statement() as session:
            await set_wait(session, some[name], 1, from_now(timedelta(seconds=-ago)))
    order = []
    while await end_waits(database_tenant.database, limit=1):
        order += ids(await claim(database_tenant.database))
    assert order == [some[name] for name in ("urgent", "early", "late", "bulk")]


async def test_only_waits_until_a_moment_that_was_not_long_ago_end(database_tenant: DatabaseTenant) -> None:
    old, forever, new = await accept_notifications(database_tenant, 3, 3, 3)
    await claim_and_start(database_tenant.database, old, forever, new)
    async with database_tenant.database.statement() as session:
        await set_wait(session, old, 1, from_now(-ONE_HOUR))
        await set_wait(session, new, 1, from_now(-SOON))
    await database_tenant.query("UPDATE queue_entry SET state = 'waiting' WHERE notification_id = :id", id=forever)
    assert await end_waits(database_tenant.database, look_back=timedelta(minutes=2)) == 1
    assert ids(await claim(database_tenant.database)) == [new]
    assert await end_waits(database_tenant.database) == 1
    assert ids(await claim(database_tenant.database)) == [old]


@pytest.mark.parametrize("reason", [GateReason.THROTTLED, GateReason.FREQUENCY_CAPPED])
async def test_a_wait_for_a_slot_does_not_end_with_the_window(
    database_tenant: DatabaseTenant, reason: GateReason
) -> None:
    """The next window has room for some of them; which, the duty for limits says."""
    [one] = await accept_notifications(database_tenant, 3)
    await claim_and_start(database_tenant.database, one)
    async with database_tenant.database.transaction() as session:
        await gates.wait_at_gate(
            session,
            DatabaseSend(database_tenant=database_tenant, id=one, channels=()).ref,
            1,
            Gate(reason=reason, until=from_now(-SOON)),
        )
    assert await end_waits(database_tenant.database) == 0


async def test_waits_end_once_though_two_processes_look(database_tenant: DatabaseTenant) -> None:
    some = await accept_notifications(database_tenant, *[3] * 20)
    await claim(database_tenant.database)
    await mark_begun_entries(database_tenant.database, *some, waits_until=from_now(-SOON))
    assert sum(await asyncio.gather(*(end_waits(database_tenant.database, limit=30) for _ in range(4)))) == 20


@pytest.mark.parametrize("state", ["collecting", "canceled"])
async def test_collected_and_canceled_sends_do_not_wait(database_tenant: DatabaseTenant, state: str) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    await database_tenant.query("UPDATE queue_entry SET state = :state", state=state)
    async with database_tenant.database.statement() as session:
        await set_wait(session, one, 1, from_now(SOON))
    assert await state_of(database_tenant, one) == state


LATER = datetime(2036, 3, 1, 12, 0, tzinfo=UTC)
HEALTH = """
INSERT INTO provider_health (provider, state, penalty, open_count, probes, changed_at, penalty_updated_at, recent,
       credential_failures,
       probe_at, throttled_until) VALUES (:provider, :state, 0, 0, 0, now(), now(), '[]', '[]', :probe_at,
       :throttled_until)
"""


async def wait_of(database_tenant: DatabaseTenant, sent: DatabaseSend) -> CurrentWait | None:
    async with database_tenant.database.transaction() as session:
        found = await gates.read_waits(session, database_tenant.tenant, [sent.id], datetime.now(UTC))
    return found[sent.id].of_notification


async def held(database_tenant: DatabaseTenant) -> tuple[DatabaseSend, str]:
    """By a provider of its own, which other tests know nothing of."""
    sent, provider = await database_tenant.send(), f"provider_{uuid4().hex}"
    async with database_tenant.database.transaction() as session:
        await holds.mark_held(session, sent.call(provider=provider, pool=(provider,)), circuit_hold(provider, 1))
    return sent, provider


async def test_a_queued_notification_waits_for_a_worker(database_tenant: DatabaseTenant) -> None:
    assert await wait_of(database_tenant, await database_tenant.send()) == CurrentWait(reason=WaitReason.DISPATCH)


async def test_an_unheld_send_waits_for_its_slot(database_tenant: DatabaseTenant) -> None:
    sent, _ = await held(database_tenant)
    assert await wait_of(database_tenant, sent) == CurrentWait(reason=WaitReason.DISPATCH)


async def test_a_circuit_a_vendors_wish_and_a_pause_hold_it(database_tenant: DatabaseTenant) -> None:
    sent, provider = await held(database_tenant)
    await database_tenant.query(HEALTH, provider=provider, state="open", probe_at=LATER, throttled_until=None)
    assert await wait_of(database_tenant, sent) == CurrentWait(reason=WaitReason.CIRCUIT_OPEN, until=LATER)
    quiet = "UPDATE provider_health SET state = 'closed', throttled_until = :at WHERE provider = :provider"
    await database_tenant.query(quiet, provider=provider, at=LATER + timedelta(seconds=1))
    expected = CurrentWait(reason=WaitReason.PROVIDER_THROTTLED, until=LATER + timedelta(seconds=1))
    assert await wait_of(database_tenant, sent) == expected
    async with database_tenant.database.transaction() as session:
        await holds.pause(session, database_tenant.tenant, HoldKind.PROVIDER, provider, None)
    assert await wait_of(database_tenant, sent) == CurrentWait(reason=WaitReason.PAUSED)


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        (HoldKind.CHANNEL, "email", WaitReason.PAUSED),
        (HoldKind.TYPE, "order.shipped", WaitReason.PAUSED),
        (HoldKind.TENANT, "any", WaitReason.PAUSED),
        (HoldKind.CHANNEL, "sms", WaitReason.DISPATCH),
        (HoldKind.TYPE, "another", WaitReason.DISPATCH),
    ],
)
async def test_a_pause_holds_its_target(
    database_tenant: DatabaseTenant, kind: HoldKind, name: str, reason: WaitReason
) -> None:
    sent, _ = await held(database_tenant)
    async with database_tenant.database.transaction() as session:
        await holds.pause(session, database_tenant.tenant, kind, name, None)
    assert await wait_of(database_tenant, sent) == CurrentWait(reason=reason)


async def test_a_call_that_is_under_way_waits_for_nothing(database_tenant: DatabaseTenant) -> None:
    sent = await database_tenant.send()
    await sent.claim()
    assert await wait_of(database_tenant, sent) is None
    await sent.answer(AttemptState.NOT_ACCEPTED)
    await database_tenant.query("UPDATE attempt SET next_at = :at WHERE notification_id = :id", at=LATER, id=sent.id)
    assert await wait_of(database_tenant, sent) == CurrentWait(reason=WaitReason.RETRY, until=LATER)
    await sent.claim(2)
    assert await wait_of(database_tenant, sent) is None


async def test_only_open_notifications_of_the_tenant_are_read(
    database_tenant: DatabaseTenant, database: Database
) -> None:
    ended, other = await (await database_tenant.send()).failed(), await (await open_database_tenant(database)).send()
    async with database.transaction() as session:
        assert await gates.read_waits(session, database_tenant.tenant, [ended.id, other.id], LATER) == {}
