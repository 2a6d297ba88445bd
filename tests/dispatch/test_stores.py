"""Two Temporal servers: the one that has the workflows, and one at a wrong address or with a new store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from dispatch.connection import connect
from dispatch.recoveries import Recoveries
from dispatch.starter import Starter, message_of
from dispatch.stores import StoreWatch
from dispatch.sweep import Sweep
from domain.names import NOTIFICATIONS_QUEUE, workflow_id
from embedded.temporary import temporary_temporal
from storage import stores
from storage.claims import Claimed
from storage.database import Database
from tests.polling import eventually
from tests.storage.databases import own_database
from tests.storage.queues import claim, ids, mark
from tests.storage.sends import Desk, open_desk
from workflows.notification import NotificationWorkflow

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

AGE_ORPHANS = "UPDATE queue_entry SET next_at = now() - interval '1 second' WHERE started_at IS NOT NULL"
FORGET_OTHER = "UPDATE engine_state SET other_seen_at = other_seen_at - interval '61 seconds'"
STATES = "SELECT state, count(*) AS count FROM queue_entry GROUP BY state"


@dataclass(frozen=True)
class Process:
    """One process, connected to one of the servers."""

    database: Database
    starter: Starter

    @property
    def watch(self) -> StoreWatch:
        return StoreWatch(self.database, self.starter)

    async def claims(self, limit: int = 100) -> list[Claimed]:
        """Claim what is due and start it."""
        due = await claim(self.database, most=limit)
        for one in due:
            await eventually(partial(self._starts, one), bool)  # a prepared store needs a moment
        await mark(self.database, *ids(due))
        return due

    async def _starts(self, one: Claimed) -> bool:
        try:
            await self.starter.begin(one)
        except RPCError:
            return False
        return True

    async def knows(self, due: Claimed) -> bool:
        return await self.starter.status(due.id, due.generation) is not None


@pytest.fixture(scope="module")
async def clients(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Client]]:
    homes = [tmp_path_factory.mktemp(name) for name in ("right", "other")]
    async with temporary_temporal(homes[0]) as right, temporary_temporal(homes[1]) as other:
        yield [await connect(server.address, "default", lazy=False) for server in (right, other)]


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with own_database(database_url) as database:
        yield await open_desk(database)


@pytest.fixture
async def right(desk: Desk, clients: list[Client]) -> Process:
    """Its store is the adopted one."""
    process = Process(desk.database, Starter(clients[0]))
    await process.watch.look()
    return process


@pytest.fixture
async def other(desk: Desk, clients: list[Client]) -> Process:
    return Process(desk.database, Starter(clients[1]))


async def sweep(process: Process, desk: Desk) -> None:
    await desk.query(AGE_ORPHANS)
    await Sweep(process.database, process.starter).run()


async def states(desk: Desk) -> dict[str, int]:
    return {row["state"]: row["count"] for row in await desk.query(STATES)}


async def accept(desk: Desk, count: int = 1) -> None:
    await desk.accept(*(desk.new() for _ in range(count)))


async def test_at_a_wrong_address_nothing_is_started_again_and_new_ones_are_started(
    desk: Desk, right: Process, other: Process
) -> None:
    await accept(desk)
    [waiting] = await right.claims()
    await other.watch.look()
    await sweep(other, desk)
    assert await states(desk) == {"started": 1}
    await accept(desk)
    [new] = await other.claims()
    assert [await other.knows(one) for one in (waiting, new)] == [False, True]
    # As long as a process has the wrong address, what the others do not find may run there.
    await right.watch.look()
    await sweep(right, desk)
    assert await states(desk) == {"started": 2}
    await desk.query(FORGET_OTHER)
    await sweep(right, desk)
    assert await states(desk) == {"started": 1, "due": 1}
    assert await right.claims() == [new]


async def test_a_signal_that_a_wrong_server_does_not_take_stays_due(desk: Desk, right: Process, other: Process) -> None:
    await accept(desk)
    [waiting] = await right.claims()
    for _ in range(2):  # before its first look and after it
        with pytest.raises(RPCError) as refused:
            await other.starter.signal_evidence(waiting.id, 1)
        assert refused.value.status is RPCStatusCode.NOT_FOUND
        await other.watch.look()
    await right.starter.signal_evidence(waiting.id, 1)
    await right.starter.signal_evidence(waiting.id, 2)


async def test_in_a_new_store_everything_is_started_again_and_nothing_twice(
    desk: Desk, right: Process, other: Process
) -> None:
    await accept(desk, 5)
    lost = await right.claims()
    await other.watch.look()
    await accept(desk)
    [new] = await other.claims()
    async with desk.database.transaction() as session:
        await stores.confirm(session, await other.starter.store_id())
    await other.watch.look()
    await Recoveries(desk.database).recover()
    assert await states(desk) == {"due": 6}
    assert {one.id for one in await other.claims()} == {one.id for one in [*lost, new]}
    assert all([await other.knows(one) for one in lost])


async def test_the_next_batch_is_due_when_half_of_the_one_before_has_been_started(
    desk: Desk, right: Process, other: Process
) -> None:
    await accept(desk, 10)
    await right.claims()
    async with desk.database.transaction() as session:
        await stores.confirm(session, await other.starter.store_id())
    await other.watch.look()
    recoveries = Recoveries(desk.database, batch_size=4)
    for _ in range(2):
        await recoveries.recover()
        assert await states(desk) == {"due": 4, "started": 6}
    await other.claims(2)
    await recoveries.recover()
    assert await states(desk) == {"due": 6, "started": 4}
    while await states(desk) != {"started": 10}:
        await other.claims()
        await recoveries.recover()
    async with desk.database.transaction() as session:
        report = await stores.report(session)
    assert report is not None
    assert report.recovery is not None
    assert (report.recovery.done, report.recovery.left) == (10, 0)


@pytest.mark.parametrize("end", ["terminated", "timed_out"])
async def test_a_workflow_that_ended_without_its_notification_ends_it(
    desk: Desk, right: Process, clients: list[Client], end: str
) -> None:
    await accept(desk)
    [due] = await claim(desk.database)
    handle = await clients[0].start_workflow(
        NotificationWorkflow.run,
        message_of(due),
        id=workflow_id(due.id, due.generation),
        task_queue=NOTIFICATIONS_QUEUE,
        execution_timeout=timedelta(seconds=1) if end == "timed_out" else None,
    )
    await mark(desk.database, due.id)
    await sweep(right, desk)
    assert await states(desk) == {"started": 1}
    if end == "terminated":
        await handle.terminate()
    await eventually(handle.describe, lambda seen: seen.status is not WorkflowExecutionStatus.RUNNING)
    await sweep(right, desk)
    [row] = await desk.query("SELECT status, failure_reason FROM notification")
    assert (row["status"], row["failure_reason"]) == ("FAILED", f"workflow_ended ({end})")
    assert await states(desk) == {}


@pytest.mark.parametrize("ends_in_time", [True, False])
async def test_only_a_workflow_that_left_its_notification_open_is_an_error(
    desk: Desk, right: Process, clients: list[Client], ends_in_time: bool
) -> None:
    """The sweep has read the row before the notification ended, and asks Temporal after its workflow has closed."""
    await accept(desk)
    [due] = await right.claims()
    await clients[0].get_workflow_handle(workflow_id(due.id, due.generation)).terminate()
    if ends_in_time:
        await desk.query("UPDATE notification SET status = 'SENT', finished_at = now()")
    with capture_logs() as logs:
        await sweep(right, desk)
    [row] = await desk.query("SELECT status, failure_reason FROM notification")
    expected = ("SENT", None) if ends_in_time else ("FAILED", "workflow_ended (terminated)")
    assert (row["status"], row["failure_reason"]) == expected
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == (
        [] if ends_in_time else ["a workflow ended without its notification"]
    )
