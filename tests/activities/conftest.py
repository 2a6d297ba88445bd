"""Activities as a worker runs them, against a real Postgres and without Temporal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime

import pytest
from temporalio.testing import ActivityEnvironment

from activities.circuits import Circuits
from activities.delivery import Delivering
from activities.reconciliation import Reconciling
from activities.recording import Recording
from domain.messages import DeliverInput, DeliverResult, LookUpInput, RecordInput
from domain.names import delivery_queue
from domain.outgoing import Message
from domain.tracking import TraceSigner
from providers.in_app import InApp
from providers.outcomes import Accepted, ProviderError, Refused
from providers.sandbox import Sandbox
from rendering.tracking import Tracker
from storage.database import Database
from storage.in_app import InboxRows
from storage.sandbox import SandboxLedger
from tests.storage.fixtures import database, desk, sent

__all__ = ["database", "desk", "sent"]


class Watched(Sandbox):
    """The sandbox, on a line where the test counts the calls and may do something after the vendor's answer."""

    def __init__(self, database: Database) -> None:
        super().__init__(SandboxLedger(database), b"key")
        self.calls: list[Message] = []
        self.answer: Accepted | Refused | None = None
        self.afterwards: Callable[[], Awaitable[object]] | None = None
        self.found: list[Accepted] | ProviderError | None = []

    async def send(self, message: Message) -> Accepted | Refused:
        self.calls.append(message)
        answer = self.answer or await super().send(message)
        if self.afterwards is not None:
            await self.afterwards()
        return answer

    async def look_up(self, message: Message, since: datetime) -> list[Accepted]:
        """`found`; None hangs."""
        if self.found is None:
            await asyncio.Event().wait()
        if isinstance(self.found, ProviderError):
            raise self.found
        return self.found or []


class WatchedInbox(InApp):
    def __init__(self, database: Database) -> None:
        super().__init__(InboxRows(database))
        self.calls: list[Message] = []

    async def send(self, message: Message) -> Accepted | Refused:
        self.calls.append(message)
        return await super().send(message)


class Counter:
    """Where messages go out: the worker with a pool of its own, the vendor with another."""

    def __init__(self, worker: Database, vendor: Database) -> None:
        self.sandbox = Watched(vendor)
        self.inbox = WatchedInbox(vendor)
        providers = {"sandbox": self.sandbox, "in_app": self.inbox}
        self._recording = Recording(worker, providers)
        self._reconciling = Reconciling(worker, providers, self._recording)
        tracker = Tracker(TraceSigner(b"key"), "http://127.0.0.1")
        self._delivering = Delivering(worker, providers, Circuits(worker), self._recording, tracker, {})

    async def deliver(self, call: DeliverInput, *, queue: str | None = None) -> DeliverResult:
        """On this task queue; on the provider's own if none is given."""
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
        result: DeliverResult = await ActivityEnvironment().run(self._recording.record_outcome, late)
        return result


@pytest.fixture
async def counter(database: Database) -> AsyncIterator[Counter]:
    worker = Database(database.url, encryption=database.encryption)
    yield Counter(worker, database)
    await worker.close()
