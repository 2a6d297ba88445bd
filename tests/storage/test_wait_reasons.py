"""What an open notification waits for, as it is read from its rows."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.evidence import AttemptState
from domain.holds import HoldKind, circuit_hold
from domain.waits import CurrentWait, WaitReason
from storage import gates, holds
from storage.database import Database
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

LATER = datetime(2036, 3, 1, 12, 0, tzinfo=UTC)
HEALTH = """
INSERT INTO provider_health (provider, state, penalty, open_count, probes, changed_at, penalty_updated_at, recent,
       credential_failures,
       probe_at, throttled_until) VALUES (:provider, :state, 0, 0, 0, now(), now(), '[]', '[]', :probe_at,
       :throttled_until)
"""


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await open_database_tenant(database)


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
