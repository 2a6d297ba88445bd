"""What an open notification waits for, as it is read from its rows."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.evidence import AttemptState
from domain.holds import HoldKind, circuit_open
from domain.waits import CurrentWait, WaitReason
from storage import holds, waits
from storage.database import Database
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres

LATER = datetime(2036, 3, 1, 12, 0, tzinfo=UTC)
HEALTH = """
INSERT INTO provider_health (provider, state, penalty, openings, probes, changed_at, weighed_at, recent, refusers,
       probe_at, quiet_until) VALUES (:provider, :state, 0, 0, 0, now(), now(), '[]', '[]', :probe_at, :quiet_until)
"""


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await open_desk(database)


async def wait_of(desk: Desk, sent: Sent) -> CurrentWait | None:
    async with desk.database.transaction() as session:
        found = await waits.read(session, desk.tenant, [sent.id], datetime.now(UTC))
    return found[sent.id].of_notification


async def held(desk: Desk) -> tuple[Sent, str]:
    """By a provider of its own, which other tests know nothing of."""
    sent, provider = await desk.send(), f"provider_{uuid4().hex}"
    async with desk.database.transaction() as session:
        await holds.mark_held(session, sent.call(provider=provider, pool=(provider,)), circuit_open(provider, 1))
    return sent, provider


async def test_a_queued_notification_waits_for_a_worker(desk: Desk) -> None:
    assert await wait_of(desk, await desk.send()) == CurrentWait(reason=WaitReason.DISPATCH)


async def test_what_nothing_holds_any_more_waits_for_its_turn(desk: Desk) -> None:
    sent, _ = await held(desk)
    assert await wait_of(desk, sent) == CurrentWait(reason=WaitReason.DISPATCH)


async def test_a_circuit_a_vendors_wish_and_a_pause_hold_it(desk: Desk) -> None:
    sent, provider = await held(desk)
    await desk.query(HEALTH, provider=provider, state="open", probe_at=LATER, quiet_until=None)
    assert await wait_of(desk, sent) == CurrentWait(reason=WaitReason.CIRCUIT_OPEN, until=LATER)
    quiet = "UPDATE provider_health SET state = 'closed', quiet_until = :at WHERE provider = :provider"
    await desk.query(quiet, provider=provider, at=LATER + timedelta(seconds=1))
    expected = CurrentWait(reason=WaitReason.PROVIDER_THROTTLED, until=LATER + timedelta(seconds=1))
    assert await wait_of(desk, sent) == expected
    async with desk.database.transaction() as session:
        await holds.pause(session, desk.tenant, HoldKind.PROVIDER, provider, None)
    assert await wait_of(desk, sent) == CurrentWait(reason=WaitReason.PAUSED)


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
async def test_a_pause_holds_what_it_names(desk: Desk, kind: HoldKind, name: str, reason: WaitReason) -> None:
    sent, _ = await held(desk)
    async with desk.database.transaction() as session:
        await holds.pause(session, desk.tenant, kind, name, None)
    assert await wait_of(desk, sent) == CurrentWait(reason=reason)


async def test_a_call_that_is_under_way_waits_for_nothing(desk: Desk) -> None:
    sent = await desk.send()
    await sent.claim()
    assert await wait_of(desk, sent) is None
    await sent.answer(AttemptState.NOT_ACCEPTED)
    await desk.query("UPDATE attempt SET next_at = :at WHERE notification_id = :id", at=LATER, id=sent.id)
    assert await wait_of(desk, sent) == CurrentWait(reason=WaitReason.RETRY, until=LATER)
    await sent.claim(2)
    assert await wait_of(desk, sent) is None


async def test_only_open_notifications_of_the_tenant_are_read(desk: Desk, database: Database) -> None:
    ended, other = await (await desk.send()).failed(), await (await open_desk(database)).send()
    async with database.transaction() as session:
        assert await waits.read(session, desk.tenant, [ended.id, other.id], LATER) == {}
