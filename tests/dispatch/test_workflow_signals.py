"""Test that signals are independent: one that Temporal refuses stays due, and the others are sent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    WorkflowExecutionStatus,
    WorkflowHandle,
)
from temporalio.common import TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from dispatch.temporal.connection import connect
from dispatch.temporal.search_attributes import ensure_search_attributes
from dispatch.workflow_signals import WorkflowSignalTasks
from dispatch.workflow_starter import WorkflowStarter
from domain.names import workflow_id
from embedded.temporary_servers import temporary_temporal
from storage.claims import ClaimedNotification, StartedClaim
from storage.database import Database
from tests.polling import eventually
from tests.storage.databases import own_database
from tests.storage.queues import claim, mark_begun_entries
from tests.storage.sends import DatabaseSend, open_database_tenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# A workflow accepts this many signals and no more.
FEW = {"history.maximumSignalsPerExecution": "1"}
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with temporary_temporal(tmp_path_factory.mktemp("temporal"), dynamic_config=FEW) as server:
        client = await connect(server.address, "default", lazy=False)
        await ensure_search_attributes(client)
        yield client


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def waiting_sends(database: Database, client: Client) -> list[DatabaseSend]:
    """Return three notifications with waiting workflows; the first has had the maximum number of signals."""
    database_tenant, starter = await open_database_tenant(database), WorkflowStarter(client)
    waiting_sends = sorted([await database_tenant.send() for _ in range(3)], key=lambda sent: sent.id)
    due = await claim(database)
    await eventually(lambda: has_started(starter, due), bool)  # a store that was just prepared needs some time
    await mark_begun_entries(database, *(sent.id for sent in waiting_sends))
    await starter.signal_evidence(waiting_sends[0].id, 1)
    with pytest.raises(RPCError) as refused:
        await starter.signal_evidence(waiting_sends[0].id, 1)
    assert refused.value.status is not RPCStatusCode.NOT_FOUND
    return waiting_sends


async def has_started(starter: WorkflowStarter, due: list[ClaimedNotification]) -> bool:
    """Return whether Temporal has started all of them."""
    try:
        await asyncio.gather(*map(starter.start_or_resume, due))
    except RPCError:
        return False
    return True


async def signals_of(client: Client, sent: DatabaseSend) -> list[str]:
    history = await client.get_workflow_handle(workflow_id(sent.id, 1)).fetch_history()
    signaled = [event for event in history.events if event.event_type == SIGNALED]
    return [event.workflow_execution_signaled_event_attributes.signal_name for event in signaled]


CANCEL = "UPDATE queue_entry SET cancel_due = true WHERE notification_id = :id"
NOT_CANCELED = "SELECT notification_id AS id FROM queue_entry WHERE cancel_due"
COME = "UPDATE queue_entry SET evidence_due = true WHERE notification_id = :id"
NOT_WOKEN = "SELECT notification_id AS id FROM queue_entry WHERE evidence_due"


@pytest.mark.parametrize(
    ("signal", "cause", "left"),
    [("cancel", CANCEL, NOT_CANCELED), ("evidence_arrived", COME, NOT_WOKEN)],
    ids=["cancel", "evidence"],
)
async def test_a_refused_start_stays_due_and_stops_no_other(
    database: Database, client: Client, waiting_sends: list[DatabaseSend], signal: str, cause: str, left: str
) -> None:
    signals = WorkflowSignalTasks(database, WorkflowStarter(client), resume_rate=0)
    look = {"cancel": signals.send_cancel_signals, "evidence_arrived": signals.send_evidence_signals}[signal]
    refused, *others = waiting_sends
    for sent in waiting_sends:
        await sent.database_tenant.query(cause, id=sent.id)
    await look()
    assert [await signals_of(client, sent) for sent in others] == [[signal], [signal]]
    assert [row["id"] for row in await refused.database_tenant.query(left)] == [refused.id]
    await look()
    assert [row["id"] for row in await refused.database_tenant.query(left)] == [refused.id]
    assert [await signals_of(client, sent) for sent in others] == [[signal], [signal]]


async def test_an_unmarked_start_is_resumed_when_send_at_has_passed(database: Database, client: Client) -> None:
    """The process died in between, or Temporal's response was lost: the workflow waits for the queue."""
    database_tenant, starter = await open_database_tenant(database), WorkflowStarter(client)
    send_at = datetime.now(UTC) + timedelta(seconds=30)
    sent = await database_tenant.send(send_at=send_at)
    [due] = await claim(database)
    assert due.waits_for_send_at
    assert await starter.start_or_resume(due) == StartedClaim(id=sent.id, generation=1, waits_until=send_at)
    assert await starter.start_or_resume(replace(due, waits_for_send_at=False)) == StartedClaim(
        id=sent.id, generation=1
    )
    assert await signals_of(client, sent) == ["resume"]


class BuildRejections(Interceptor):
    """Reject a start with Temporal's attribute BuildIds, as a later server may, and record the rejected ones."""

    def __init__(self) -> None:
        self.rejected: list[str] = []

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _RejectingOutbound(next, self.rejected)


class _RejectingOutbound(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, rejected: list[str]) -> None:
        super().__init__(next)
        self._rejected = rejected

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        assert isinstance(input.search_attributes, TypedSearchAttributes)
        if any(pair.key.name == "BuildIds" for pair in input.search_attributes):
            self._rejected.append(input.id)
            message = "BuildIds attribute can't be set in SearchAttributes"
            raise RPCError(message, RPCStatusCode.INVALID_ARGUMENT, b"")
        return await super().start_workflow(input)


async def test_a_rejected_build_is_omitted_from_this_start_and_later_ones(database: Database, client: Client) -> None:
    database_tenant, rejections = await open_database_tenant(database), BuildRejections()
    starter = WorkflowStarter(Client(**(client.config() | {"interceptors": [rejections]})))
    sent = [await database_tenant.send() for _ in range(2)]
    due = await claim(database)
    for claimed in due:
        await starter.start_or_resume(claimed)
    assert rejections.rejected == [workflow_id(due[0].id, 1)]
    assert [(await client.get_workflow_handle(workflow_id(one.id, 1)).describe()).status for one in sent] == [
        WorkflowExecutionStatus.RUNNING
    ] * 2


async def test_two_leaders_at_once_signal_all_and_leave_nothing_due(
    database: Database, client: Client, waiting_sends: list[DatabaseSend]
) -> None:
    _, *others = waiting_sends
    for sent in others:
        await sent.database_tenant.query(COME, id=sent.id)
    leaders = [WorkflowSignalTasks(database, WorkflowStarter(client), resume_rate=0) for _ in range(2)]
    await asyncio.gather(*(leader.send_evidence_signals() for leader in leaders))
    assert await others[0].database_tenant.query(NOT_WOKEN) == []
    assert [(await signals_of(client, sent))[0] for sent in others] == ["evidence_arrived", "evidence_arrived"]
