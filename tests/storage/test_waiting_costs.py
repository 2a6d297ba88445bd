"""What background work reads while many rows wait and nothing is due: what is due, not what waits."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from domain.notification_types import NotificationType
from storage import (
    claims,
    digest_closing,
    digests,
    engine_state,
    erasures,
    event_outbox,
    holds,
    receipt_batches,
    reconsiderations,
    sandbox,
    schedule_occurrences,
    schedule_runs,
    schedules,
    throttles,
    ticks,
)
from storage.claims import Slots
from storage.digest_collection import collect_waiting
from storage.event_outbox import ConcurrencyLimits
from tests.storage.backlogs import waiting_backlog
from tests.storage.buffers import PAGES_READ, CountingSession, PlannedOnceSession
from tests.storage.databases import own_database
from tests.storage.queues import NO_LOOK_BACK_LIMIT, PROCESS
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres
Work = Callable[[Any, UUID], Awaitable[object]]
FIRST = UUID(int=0)
MOST_PAGES = 500
MOST_PAGES_OF_A_CLOSE = 1_000  # it looks for the window's items among the first hundred that wait


async def no_type(tenant: UUID, type_id: UUID) -> NotificationType:
    raise LookupError(type_id)


# By the name of the loop or duty that does it. The tidying of events reads two pages of each endpoint once a minute.
PERIODIC: dict[str, Work] = {
    "queue": lambda s, _: claims.claim_due(
        s, PROCESS, Slots(total=8, reserved=2), batch_size=8, look_back=NO_LOOK_BACK_LIMIT
    ),
    "waits": lambda s, _: claims.make_waiting_due(s, look_back=NO_LOOK_BACK_LIMIT, limit=500),
    "demotions": lambda s, _: claims.demote_bursts(s, burst=60, limit=500),
    "sweep": lambda s, _: claims.claim_orphans(s, 20),
    "recovery": lambda s, _: engine_state.recover_batch(s, 500),
    "cancels": lambda s, _: claims.list_unsignaled_cancels(s, 16),
    "evidence": lambda s, _: claims.list_unsignaled_evidence(s, 16),
    "reconsiderations": lambda s, _: reconsiderations.reconsider_batch(s, 500),
    "erasures": lambda s, _: erasures.erase_next_batch(s),
    "releases": lambda s, _: holds.release_held(s, 4),
    "provider queues": lambda s, _: claims.admit(s, "sandbox"),
    "collect": lambda s, _: collect_waiting(s, no_type, 500),
    "digests to tell": lambda s, _: digests.list_pending_windows(s, 16),
    "digests filled": lambda s, _: digests.list_full_windows(s, 50),
    "digests overdue": lambda s, _: digests.list_overdue_windows(s, 10, 1_200, 50),
    "throttle windows": lambda s, _: throttles.open_next(s, 20),
    "next throttle window": lambda s, _: throttles.seconds_to_next(s),
    "throttle windows that are over": lambda s, _: throttles.purge(s, 500),
    "ticks": lambda s, _: ticks.claim_unsynced(s, 16, 3600),
    "schedule plans": lambda s, _: schedules.plan_next_batch(s),
    "next tenant with a run": lambda s, _: schedule_runs.find_next_tenant(s, FIRST),
    "runs of a tenant": lambda s, tenant: schedule_runs.claim_next(s, tenant, FIRST),
    "runs of a type": lambda s, tenant: schedule_runs.claim_of_type(s, tenant, "order.shipped"),
    "shared turns": lambda s, tenant: schedule_occurrences.claim_occurrences(
        s, tenant, "order.shipped", 100, own=False
    ),
    "own turns": lambda s, tenant: schedule_occurrences.claim_occurrences(s, tenant, "order.shipped", 100, own=True),
    "receipts": lambda s, _: receipt_batches.lease_batch(s, 100),
    "event posts": lambda s, _: event_outbox.claim_posts(s, ConcurrencyLimits(), []),
    "next event post": lambda s, _: event_outbox.seconds_to_next(s),
    "event pruning": lambda s, _: event_outbox.prune(s),
    "sandbox reports": lambda s, _: sandbox.claim_due_receipts(s, 100),
    "next sandbox report": lambda s, _: sandbox.seconds_to_next(s),
}


@pytest.fixture(
    scope="module", params=[10_000, pytest.param(100_000, marks=pytest.mark.long)], ids=lambda size: f"{size} rows"
)
async def backlog(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[DatabaseTenant]:
    async with own_database(database_url) as database:
        yield await waiting_backlog(database, request.param)


@pytest.mark.parametrize("counter", [CountingSession, PlannedOnceSession])
@pytest.mark.parametrize("name", PERIODIC)
async def test_periodic_work_reads_due_rows_only(
    backlog: DatabaseTenant, name: str, counter: type[CountingSession]
) -> None:
    async with backlog.database.transaction() as session:
        counting = counter(session)
        await PERIODIC[name](counting, backlog.tenant)
    assert sum(counting.pages) < MOST_PAGES, counting.pages


async def test_closing_a_window_reads_few_of_the_items_that_wait(backlog: DatabaseTenant) -> None:
    """The items have no notifications here, each of which would cost one more page."""
    async with backlog.database.transaction() as session:
        undone = await session.begin_nested()
        before = (await session.execute(PAGES_READ)).scalar_one()
        assert await digest_closing.close_due(session, backlog.tenant, "order.shipped") == 1
        pages = (await session.execute(PAGES_READ)).scalar_one() - before
        await undone.rollback()
    assert pages < MOST_PAGES_OF_A_CLOSE
