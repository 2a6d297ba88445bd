"""What background work reads while many rows wait and nothing is due: what is due, not what waits."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from domain.notification_types import NotificationType
from storage import (
    claims,
    digests,
    dispatching,
    event_posting,
    event_retention,
    large_erasures,
    provider_queues,
    receipt_batches,
    reconsiderations,
    recoveries,
    releases,
    sandbox,
    schedule_plans,
    schedule_runs,
    schedule_turns,
    throttles,
    ticks,
)
from storage.claims import Slots
from storage.digest_collection import collect_waiting
from storage.event_posting import Room
from tests.storage.buffers import CountingSession, PlannedOnceSession
from tests.storage.crowds import waiting_crowd
from tests.storage.databases import own_database
from tests.storage.queues import EVER, ME
from tests.storage.sends import Desk

pytestmark = pytest.mark.postgres
Work = Callable[[Any, UUID], Awaitable[object]]
FIRST = UUID(int=0)
MOST_PAGES = 500


async def no_type(tenant: UUID, type_id: UUID) -> NotificationType:
    raise LookupError(type_id)


# By the name of the loop or duty that does it. The tidying of events reads two pages of each endpoint once a minute.
PERIODIC: dict[str, Work] = {
    "queue": lambda s, _: claims.claim(s, ME, Slots(total=8, reserved=2), most=8, look_back=EVER),
    "waits": lambda s, _: claims.end_waits(s, look_back=EVER, limit=500),
    "demotions": lambda s, _: claims.demote(s, burst=60, limit=500),
    "sweep": lambda s, _: dispatching.strays(s, 20),
    "recovery": lambda s, _: recoveries.recover_batch(s, 500),
    "cancels": lambda s, _: dispatching.unsignaled_cancels(s, 16),
    "evidence": lambda s, _: dispatching.evidence_due(s, 16),
    "reconsiderations": lambda s, _: reconsiderations.reconsider_batch(s, 500),
    "erasures": lambda s, _: large_erasures.continue_batch(s),
    "releases": lambda s, _: releases.release(s, 4),
    "provider queues": lambda s, _: provider_queues.let_in(s, "sandbox"),
    "collect": lambda s, _: collect_waiting(s, no_type, 500),
    "digests to tell": lambda s, _: digests.to_tell(s, 16),
    "digests filled": lambda s, _: digests.filled(s, 50),
    "digests overdue": lambda s, _: digests.overdue(s, 10, 1_200, 50),
    "throttle windows": lambda s, _: throttles.roll(s, 20),
    "next throttle window": lambda s, _: throttles.seconds_to_next(s),
    "throttle windows that are over": lambda s, _: throttles.forget(s, 500),
    "ticks": lambda s, _: ticks.to_ensure(s, 16, 3600),
    "schedule plans": lambda s, _: schedule_plans.continue_batch(s),
    "next tenant with a run": lambda s, _: schedule_runs.next_tenant(s, FIRST),
    "runs of a tenant": lambda s, tenant: schedule_runs.claim_next(s, tenant, FIRST),
    "runs of a type": lambda s, tenant: schedule_runs.claim_of_type(s, tenant, "order.shipped"),
    "shared turns": lambda s, tenant: schedule_turns.claim(s, tenant, "order.shipped", 100, own=False),
    "own turns": lambda s, tenant: schedule_turns.claim(s, tenant, "order.shipped", 100, own=True),
    "receipts": lambda s, _: receipt_batches.lease(s, 100),
    "event posts": lambda s, _: event_posting.claim(s, Room(), []),
    "next event post": lambda s, _: event_posting.seconds_to_next(s),
    "event tidying": lambda s, _: event_retention.tidy(s),
    "sandbox reports": lambda s, _: sandbox.claim_due_receipts(s, 100),
    "next sandbox report": lambda s, _: sandbox.seconds_to_next(s),
}


@pytest.fixture(
    scope="module", params=[10_000, pytest.param(100_000, marks=pytest.mark.long)], ids=lambda size: f"{size} rows"
)
async def crowd(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Desk]:
    async with own_database(database_url) as database:
        yield await waiting_crowd(database, request.param)


@pytest.mark.parametrize("counter", [CountingSession, PlannedOnceSession])
@pytest.mark.parametrize("name", PERIODIC)
async def test_periodic_work_reads_what_is_due_and_not_what_waits(
    crowd: Desk, name: str, counter: type[CountingSession]
) -> None:
    async with crowd.database.transaction() as session:
        counting = counter(session)
        await PERIODIC[name](counting, crowd.tenant)
    assert sum(counting.pages) < MOST_PAGES, counting.pages
