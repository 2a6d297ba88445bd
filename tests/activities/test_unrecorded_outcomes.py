"""Test outcomes that are recorded late: the database was unavailable, or another worker was first."""

from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from domain.evidence import AttemptState, CallResult
from domain.messages import DeliverResult
from domain.statuses import NotificationStatus
from storage.connections import DATABASE_ERRORS
from storage.database import Database
from tests.activities.conftest import ActivityWorker
from tests.polling import eventually
from tests.storage.databases import own_database
from tests.storage.sends import DatabaseSend, open_database_tenant

pytestmark = pytest.mark.postgres
R, N = CallResult, NotificationStatus


@pytest.fixture
async def outage(database_url: str) -> AsyncIterator["Outage"]:
    async with own_database(database_url) as database:
        yield Outage(database_url, database)


class Outage:
    """Provide a separate database that can refuse and close connections."""

    def __init__(self, server: str, database: Database) -> None:
        self._server = server.replace("+asyncpg", "", 1)
        self.database = database
        self._name = database.url.rpartition("/")[2]

    async def begin(self) -> None:
        await self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        terminate = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'"
        await self._execute(terminate)

    async def end(self) -> None:
        await self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def test_an_unrecorded_outcome_is_kept_by_the_workflow_and_recorded_later(
    outage: Outage,
) -> None:
    sent = await (await open_database_tenant(outage.database)).send()
    worker = Database(outage.database.url, encryption=outage.database.encryption)
    activity_worker = ActivityWorker(worker, outage.database)
    activity_worker.sandbox.after_send = outage.begin
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.recorded, outcome.finished) == (R.ACCEPTED, False, False)
    assert outcome.provider_message_id
    await outage.end()

    async def recorded() -> DeliverResult | None:
        """Retry as Temporal does, until the database is available."""
        try:
            return await activity_worker.record(sent.call(), outcome)
        except DATABASE_ERRORS:
            return None

    late = await eventually(recorded, lambda answer: answer is not None)
    assert late is not None
    assert (late.result, late.status, late.finished, late.recorded) == (R.ACCEPTED, N.SENT, True, True)
    await worker.close()
    fresh = Database(outage.database.url, encryption=outage.database.encryption)
    again = replace(sent, database_tenant=replace(sent.database_tenant, database=fresh))
    assert await again.attempt_states() == [(1, "accepted", None)]
    assert (await again.row())["status"] == "SENT"
    assert len(await again.rows("sandbox_message")) == 1
    await fresh.close()


async def test_a_database_outage_raises_for_a_retry_without_a_call(outage: Outage) -> None:
    sent = await (await open_database_tenant(outage.database)).send()
    worker = Database(outage.database.url, encryption=outage.database.encryption)
    activity_worker = ActivityWorker(worker, outage.database)
    await outage.begin()
    with pytest.raises(DATABASE_ERRORS):
        await activity_worker.deliver(sent.call())
    assert activity_worker.sandbox.calls == []
    await outage.end()
    await worker.close()


async def test_an_outcome_recorded_twice_is_recorded_once(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    outcome = await activity_worker.deliver(sent.call())
    before = await sent.row()
    again = await activity_worker.record(sent.call(), replace(outcome, recorded=False))
    assert (again.result, again.status) == (R.ACCEPTED, N.SENT)
    assert await sent.row() == before


async def test_a_late_outcome_ends_an_unknown_attempt(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    """Another worker found the row and recorded unknown, before the first one recorded its outcome."""
    await sent.claim()
    await sent.answer(AttemptState.UNKNOWN)
    late = DeliverResult(result=R.ACCEPTED, provider_message_id="m-late", recorded=False)
    outcome = await activity_worker.record(sent.call(), late)
    assert (outcome.result, outcome.status) == (R.ACCEPTED, N.SENT)
