"""Signals are told one by one: what Temporal refuses for one notification stays due, and the others are told."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from dispatch.connection import connect, prepare
from dispatch.signals import Signals
from dispatch.starter import Starter
from domain.holds import HoldKind, paused
from domain.names import workflow_id
from embedded.temporary import temporary_temporal
from storage import dispatching, holds
from storage.database import Database
from tests.polling import eventually
from tests.storage.databases import own_database
from tests.storage.sends import Sent, open_desk

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# A workflow takes so many signals and no more.
FEW = {"history.maximumSignalsPerExecution": "1"}
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


@pytest.fixture(scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    async with temporary_temporal(tmp_path_factory.mktemp("temporal"), dynamic_config=FEW) as server:
        client = await connect(server.address, "default", lazy=False)
        await prepare(client)
        yield client


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture
async def some(database: Database, client: Client) -> list[Sent]:
    """Three whose workflows wait; the first of them has had all the signals that it may get."""
    desk, starter = await open_desk(database), Starter(client)
    some = sorted([await desk.send() for _ in range(3)], key=lambda sent: sent.id)
    async with database.transaction() as session:
        due = await dispatching.claim_paced(session, len(some))
        await dispatching.mark_started(session, due)

    async def all_started() -> bool:
        return not (await starter.start_all(due)).failed

    await eventually(all_started, bool)  # a store that was just prepared needs a moment
    await starter.signal_evidence(some[0].id, 1)
    with pytest.raises(RPCError) as refused:
        await starter.signal_evidence(some[0].id, 1)
    assert refused.value.status is not RPCStatusCode.NOT_FOUND
    return some


async def signals_of(client: Client, sent: Sent) -> list[str]:
    history = await client.get_workflow_handle(workflow_id(sent.id, 1)).fetch_history()
    told = [event for event in history.events if event.event_type == SIGNALED]
    return [event.workflow_execution_signaled_event_attributes.signal_name for event in told]


async def hold(sent: Sent) -> None:
    held = paused(uuid4(), HoldKind.CHANNEL, "email")
    async with sent.desk.database.transaction() as session:
        await holds.mark_held(session, sent.call(), held)


CANCEL = "UPDATE queue_entry SET cancel_due = true WHERE notification_id = :id"
NOT_CANCELED = "SELECT notification_id AS id FROM queue_entry WHERE cancel_due"
COME = "UPDATE queue_entry SET evidence_due = true WHERE notification_id = :id"
NOT_TOLD = "SELECT notification_id AS id FROM queue_entry WHERE evidence_due"
STILL_HELD = "SELECT notification_id AS id FROM delivery WHERE held_at IS NOT NULL"


@pytest.mark.parametrize(
    ("signal", "cause", "left"),
    [("cancel", CANCEL, NOT_CANCELED), ("evidence", COME, NOT_TOLD), ("release", None, STILL_HELD)],
    ids=["cancel", "evidence", "release"],
)
async def test_one_that_is_refused_stays_due_and_stops_nobody(
    database: Database, client: Client, some: list[Sent], signal: str, cause: str | None, left: str
) -> None:
    signals = Signals(database, Starter(client), resume_rate=0)
    look = {"cancel": signals.cancels, "evidence": signals.evidence, "release": signals.releases}[signal]
    refused, *others = some
    for sent in some:
        await (sent.desk.query(cause, id=sent.id) if cause else hold(sent))
    await look()
    assert [await signals_of(client, sent) for sent in others] == [[signal], [signal]]
    assert [row["id"] for row in await refused.desk.query(left)] == [refused.id]
    await refused.desk.query("UPDATE delivery SET release_at = now()")  # as when its lease has run out
    await look()
    assert [row["id"] for row in await refused.desk.query(left)] == [refused.id]
    assert [await signals_of(client, sent) for sent in others] == [[signal], [signal]]


async def test_two_leaders_at_once_signal_all_and_leave_nothing_due(
    database: Database, client: Client, some: list[Sent]
) -> None:
    _, *others = some
    for sent in others:
        await sent.desk.query(COME, id=sent.id)
    await asyncio.gather(*(Signals(database, Starter(client), resume_rate=0).evidence() for _ in range(2)))
    assert await others[0].desk.query(NOT_TOLD) == []
    assert [(await signals_of(client, sent))[0] for sent in others] == ["evidence", "evidence"]
