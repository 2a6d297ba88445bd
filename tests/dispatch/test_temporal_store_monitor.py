"""Test two Temporal servers: the one that has the workflows, and one at a wrong address or with a new store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from dispatch.orphan_sweep import OrphanSweep
from dispatch.temporal.connection import connect
from dispatch.temporal.store_monitor import StoreMonitor
from dispatch.temporal.store_recovery import StoreRecoveryTask
from dispatch.workflow_starter import WorkflowStarter, start_message_of
from domain.names import NOTIFICATIONS_QUEUE, workflow_id
from embedded.temporary_servers import temporary_temporal
from storage import engine_state
from storage.claims import ClaimedNotification
from storage.database import Database
from tests.polling import eventually
from tests.storage.databases import own_database
from tests.storage.queues import claim, ids, mark_begun_entries
from tests.storage.sends import DatabaseTenant, open_database_tenant
from workflows.notification import NotificationWorkflow

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

AGE_ORPHANS = "UPDATE queue_entry SET next_at = now() - interval '1 second' WHERE started_at IS NOT NULL"
FORGET_OTHER = "UPDATE engine_state SET other_seen_at = other_seen_at - interval '61 seconds'"
STATES = "SELECT state, count(*) AS count FROM queue_entry GROUP BY state"


@dataclass(frozen=True)
class DispatchingProcess:
    """Run one process, connected to one of the servers."""

    database: Database
    starter: WorkflowStarter

    @property
    def watch(self) -> StoreMonitor:
        return StoreMonitor(self.database, self.starter)

    async def claims(self, limit: int = 100) -> list[ClaimedNotification]:
        """Claim what is due and start it."""
        due = await claim(self.database, batch_size=limit)
        for one in due:
            await eventually(partial(self._starts, one), bool)  # a prepared store needs some time
        await mark_begun_entries(self.database, *ids(due))
        return due

    async def _starts(self, one: ClaimedNotification) -> bool:
        try:
            await self.starter.start_or_resume(one)
        except RPCError:
            return False
        return True

    async def knows(self, due: ClaimedNotification) -> bool:
        return await self.starter.status(due.id, due.generation) is not None


@pytest.fixture(scope="module")
async def clients(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Client]]:
    homes = [tmp_path_factory.mktemp(name) for name in ("right", "other")]
    async with temporary_temporal(homes[0]) as adopted_process, temporary_temporal(homes[1]) as other:
        yield [await connect(server.address, "default", lazy=False) for server in (adopted_process, other)]


@pytest.fixture
async def database_tenant(database_url: str) -> AsyncIterator[DatabaseTenant]:
    async with own_database(database_url) as database:
        yield await open_database_tenant(database)


@pytest.fixture
async def adopted_process(database_tenant: DatabaseTenant, clients: list[Client]) -> DispatchingProcess:
    """Return the process whose store is the adopted one."""
    process = DispatchingProcess(database_tenant.database, WorkflowStarter(clients[0]))
    await process.watch.detect_namespace_reset()
    return process


@pytest.fixture
async def other(database_tenant: DatabaseTenant, clients: list[Client]) -> DispatchingProcess:
    return DispatchingProcess(database_tenant.database, WorkflowStarter(clients[1]))


async def sweep(process: DispatchingProcess, database_tenant: DatabaseTenant) -> None:
    await database_tenant.query(AGE_ORPHANS)
    await OrphanSweep(process.database, process.starter).run()


async def states(database_tenant: DatabaseTenant) -> dict[str, int]:
    return {row["state"]: row["count"] for row in await database_tenant.query(STATES)}


async def accept(database_tenant: DatabaseTenant, count: int = 1) -> None:
    await database_tenant.accept(*(database_tenant.new() for _ in range(count)))


async def test_a_wrong_address_restarts_nothing_and_starts_new_ones(
    database_tenant: DatabaseTenant, adopted_process: DispatchingProcess, other: DispatchingProcess
) -> None:
    await accept(database_tenant)
    [waiting] = await adopted_process.claims()
    await other.watch.detect_namespace_reset()
    await sweep(other, database_tenant)
    assert await states(database_tenant) == {"started": 1}
    await accept(database_tenant)
    [new] = await other.claims()
    assert [await other.knows(one) for one in (waiting, new)] == [False, True]
    # While one process has the wrong address, workflows that the others do not find may run there.
    await adopted_process.watch.detect_namespace_reset()
    await sweep(adopted_process, database_tenant)
    assert await states(database_tenant) == {"started": 2}
    await database_tenant.query(FORGET_OTHER)
    await sweep(adopted_process, database_tenant)
    assert await states(database_tenant) == {"started": 1, "due": 1}
    assert await adopted_process.claims() == [new]


async def test_a_signal_that_a_wrong_server_does_not_take_stays_due(
    database_tenant: DatabaseTenant, adopted_process: DispatchingProcess, other: DispatchingProcess
) -> None:
    await accept(database_tenant)
    [waiting] = await adopted_process.claims()
    for _ in range(2):  # before its first poll and after it
        with pytest.raises(RPCError) as refused:
            await other.starter.signal_evidence(waiting.id, 1)
        assert refused.value.status is RPCStatusCode.NOT_FOUND
        await other.watch.detect_namespace_reset()
    await adopted_process.starter.signal_evidence(waiting.id, 1)
    await adopted_process.starter.signal_evidence(waiting.id, 2)


async def test_in_a_new_store_everything_is_started_again_and_nothing_twice(
    database_tenant: DatabaseTenant, adopted_process: DispatchingProcess, other: DispatchingProcess
) -> None:
    await accept(database_tenant, 5)
    lost = await adopted_process.claims()
    await other.watch.detect_namespace_reset()
    await accept(database_tenant)
    [new] = await other.claims()
    async with database_tenant.database.transaction() as session:
        await engine_state.confirm_replacement(session, await other.starter.store_id())
    await other.watch.detect_namespace_reset()
    await StoreRecoveryTask(database_tenant.database).recover()
    assert await states(database_tenant) == {"due": 6}
    assert {one.id for one in await other.claims()} == {one.id for one in [*lost, new]}
    assert all([await other.knows(one) for one in lost])


async def test_the_next_batch_is_due_when_half_of_the_previous_one_started(
    database_tenant: DatabaseTenant, adopted_process: DispatchingProcess, other: DispatchingProcess
) -> None:
    await accept(database_tenant, 10)
    await adopted_process.claims()
    async with database_tenant.database.transaction() as session:
        await engine_state.confirm_replacement(session, await other.starter.store_id())
    await other.watch.detect_namespace_reset()
    recoveries = StoreRecoveryTask(database_tenant.database, batch_size=4)
    for _ in range(2):
        await recoveries.recover()
        assert await states(database_tenant) == {"due": 4, "started": 6}
    await other.claims(2)
    await recoveries.recover()
    assert await states(database_tenant) == {"due": 6, "started": 4}
    while await states(database_tenant) != {"started": 10}:
        await other.claims()
        await recoveries.recover()
    async with database_tenant.database.transaction() as session:
        report = await engine_state.read_report(session)
    assert report is not None
    assert report.recovery is not None
    assert (report.recovery.done, report.recovery.left) == (10, 0)


@pytest.mark.parametrize("end", ["terminated", "timed_out"])
async def test_a_workflow_that_ended_without_its_notification_ends_it(
    database_tenant: DatabaseTenant, adopted_process: DispatchingProcess, clients: list[Client], end: str
) -> None:
    await accept(database_tenant)
    [due] = await claim(database_tenant.database)
    handle = await clients[0].start_workflow(
        NotificationWorkflow.run,
        start_message_of(due),
        id=workflow_id(due.id, due.generation),
        task_queue=NOTIFICATIONS_QUEUE,
        execution_timeout=timedelta(seconds=1) if end == "timed_out" else None,
    )
    await mark_begun_entries(database_tenant.database, due.id)
    await sweep(adopted_process, database_tenant)
    assert await states(database_tenant) == {"started": 1}
    if end == "terminated":
        await handle.terminate()
    await eventually(handle.describe, lambda seen: seen.status is not WorkflowExecutionStatus.RUNNING)
    await sweep(adopted_process, database_tenant)
    [row] = await database_tenant.query("SELECT status, failure_reason FROM notification")
    assert (row["status"], row["failure_reason"]) == ("FAILED", f"workflow_ended ({end})")
    assert await states(database_tenant) == {}


@pytest.mark.parametrize("ends_in_time", [True, False])
async def test_only_a_workflow_that_left_its_notification_open_is_an_error(
    database_tenant: DatabaseTenant, adopted_process: DispatchingProcess, clients: list[Client], ends_in_time: bool
) -> None:
    """The sweep has read the row before the notification ended, and queries Temporal after its workflow has closed."""
    await accept(database_tenant)
    [due] = await adopted_process.claims()
    await clients[0].get_workflow_handle(workflow_id(due.id, due.generation)).terminate()
    if ends_in_time:
        await database_tenant.query("UPDATE notification SET status = 'SENT', finished_at = now()")
    with capture_logs() as logs:
        await sweep(adopted_process, database_tenant)
    [row] = await database_tenant.query("SELECT status, failure_reason FROM notification")
    expected = ("SENT", None) if ends_in_time else ("FAILED", "workflow_ended (terminated)")
    assert (row["status"], row["failure_reason"]) == expected
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == (
        [] if ends_in_time else ["a workflow ended and left its notification open"]
    )
