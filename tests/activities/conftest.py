"""Run activities as a worker does, against a real Postgres and without Temporal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from temporalio.testing import ActivityEnvironment

from activities.delivery import DeliveryActivities
from activities.reconciliation import ReconciliationActivities
from dispatch.receipt_applier import ReceiptApplier
from domain.messages import DeliverInput, DeliverResult, LookUpInput, RecordInput
from domain.names import delivery_queue
from domain.outgoing_messages import OutgoingMessage
from domain.tracking import TraceSigner
from providers.base import Provider
from providers.in_app import InApp
from providers.outcomes import ProviderAcceptance, ProviderError, ProviderRefusal
from providers.sandbox import Sandbox
from rendering.tracking import Tracker
from services.circuits import CircuitMonitor
from services.outcome_recording import OutcomeRecorder
from services.provider_calls import ProviderCaller
from services.unsubscribing import UnsubscribeLinks
from storage import receipts
from storage.database import Database
from storage.inbox import InboxStore
from storage.receipts import StoredReceipt
from storage.sandbox import PostgresSandboxStore
from tests.storage.fixtures import database, database_tenant, sent
from tests.storage.sends import DatabaseSend

__all__ = ["database", "database_tenant", "sent"]

RECEIVED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class RecordingSandbox(Sandbox):
    """Count the calls of the sandbox, and let the test act after the vendor's response."""

    def __init__(self, database: Database) -> None:
        super().__init__(PostgresSandboxStore(database), b"key")
        self.calls: list[OutgoingMessage] = []
        self.answer: ProviderAcceptance | ProviderRefusal | None = None
        self.after_send: Callable[[], Awaitable[object]] | None = None
        self.found: list[ProviderAcceptance] | ProviderError | None = []

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        self.calls.append(message)
        answer = self.answer or await super().send(message)
        if self.after_send is not None:
            await self.after_send()
        return answer

    async def look_up(self, message: OutgoingMessage, since: datetime) -> list[ProviderAcceptance]:
        """Return `found`; None hangs."""
        if self.found is None:
            await asyncio.Event().wait()
        if isinstance(self.found, ProviderError):
            raise self.found
        return self.found or []


class RecordingInbox(InApp):
    def __init__(self, database: Database) -> None:
        super().__init__(InboxStore(database))
        self.calls: list[OutgoingMessage] = []

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        self.calls.append(message)
        return await super().send(message)


class ActivityWorker:
    """Run deliveries: the worker with its own pool, the vendor with another. `others` are more providers."""

    def __init__(self, worker: Database, vendor: Database, *others: Provider) -> None:
        self.sandbox = RecordingSandbox(vendor)
        self.inbox = RecordingInbox(vendor)
        providers = {each.name: each for each in (self.sandbox, self.inbox, *others)}
        recorder = OutcomeRecorder(worker, providers)
        self._reconciling = ReconciliationActivities(worker, providers, recorder)
        tracker = Tracker(TraceSigner(b"key"), "http://127.0.0.1")
        circuits = CircuitMonitor(worker)
        links = UnsubscribeLinks(b"key", "http://127.0.0.1")
        caller = ProviderCaller(providers, circuits, tracker, links, worker)
        self._delivering = DeliveryActivities(worker, providers, circuits, recorder, caller, {}, lambda: None)

    async def deliver(self, call: DeliverInput, *, queue: str | None = None) -> DeliverResult:
        """Deliver on this task queue; on the provider's own if none is given."""
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, task_queue=queue or delivery_queue(call.provider))
        result: DeliverResult = await environment.run(self._delivering.deliver, call)
        return result

    async def look_up(self, call: DeliverInput, *, final: bool = False) -> DeliverResult:
        given = LookUpInput(call=call, final=final)
        result: DeliverResult = await ActivityEnvironment().run(self._reconciling.look_up, given)
        return result

    async def record(self, call: DeliverInput, outcome: DeliverResult) -> DeliverResult:
        late = RecordInput(call=call, outcome=outcome)
        result: DeliverResult = await ActivityEnvironment().run(self._reconciling.record_outcome, late)
        return result


@pytest.fixture
async def activity_worker(database: Database) -> AsyncIterator[ActivityWorker]:
    worker = Database(database.url, encryption=database.encryption)
    yield ActivityWorker(worker, database)
    await worker.close()


async def receive(sent: DatabaseSend, kind: str = "delivered", *, apply: bool = True, **by: Any) -> None:
    """Store a receipt of the sandbox, and apply it."""
    fields: dict[str, Any] = {"attempt_id": None, "provider_message_id": None, **by}
    outcome = StoredReceipt(
        id=uuid4(), provider="sandbox", kind=kind, reason=None, occurred_at=RECEIVED_AT, raw={"event": kind}, **fields
    )
    async with sent.database_tenant.database.transaction() as session:
        await receipts.store(session, [outcome])
    if apply:
        await ReceiptApplier(sent.database_tenant.database).apply_waiting()
