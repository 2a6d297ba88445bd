"""Limit the cost of a send: events in Temporal's history, activities, SQL statements. Each limits the throughput."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import TextClause, event, text
from temporalio.api.enums.v1 import EventType
from temporalio.converter import decode_search_attributes

from dispatch import dispatcher
from dispatch.background_loops import TASK_PREFIX
from storage.statements import QuickSession, StatementResult
from tests.api_tenants import ApiTenant
from tests.engine import Engine

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# Statements of the sandbox vendor's own log, and of the lease, which is renewed each second.
UNRELATED = ("sandbox_call", "sandbox_message", "sandbox_receipt", "INTO lease ")
# Runs at most fifty times a second for all sends of a process.
SHARED_NOTIFY = "SELECT pg_notify(:channel, payload) "
SENDS = 10
# No receipt: it could arrive, and cost statements, before the test sees the workflow's end.
INLINE: dict[str, Any] = {"recipient": {"recipient_id": "grace", "email": "grace+silent@example.com"}}


Parameters = Mapping[str, Any] | None


@dataclass(frozen=True)
class Statement:
    text: str
    rows: int
    task: str

    @property
    def is_polling(self) -> bool:
        """Return whether a background loop polled on its timer (1, 2 or 5 s).

        The claim that returns the test's row counts as cost. Each claim also returns one row about free capacity.
        """
        has_claimed = "claim_due" in self.text and self.rows > 1
        return self.task.startswith(TASK_PREFIX) and not has_claimed

    @property
    def is_counted(self) -> bool:
        return not self.is_polling and not any(name in self.text for name in (*UNRELATED, SHARED_NOTIFY))

    def __str__(self) -> str:
        return f"{self.rows} rows: {self.text[:150]}"


@contextmanager
def record_statements(engine: Engine) -> Iterator[list[Statement]]:
    """Record every statement of the process, without BEGIN and COMMIT, and the number of rows it read or wrote."""
    statements: list[Statement] = []
    target = engine.container.database.engine.sync_engine

    def record(statement: str, rows: int) -> None:
        task = asyncio.current_task()
        statements.append(Statement(f"{' '.join(statement.split())} ", rows, task.get_name() if task else ""))

    def record_cursor(_: Any, cursor: Any, statement: str, *__: Any) -> None:
        record(statement, cursor.rowcount)

    execute = QuickSession.execute

    async def execute_and_record(
        session: QuickSession, statement: TextClause, params: Parameters = None
    ) -> StatementResult:
        rows = await execute(session, statement, params)
        record(statement.text, len(list(rows)))
        return rows

    event.listen(target, "after_cursor_execute", record_cursor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickSession, "execute", execute_and_record)
        yield statements
    event.remove(target, "after_cursor_execute", record_cursor)


@pytest.fixture
async def warm_tenant(api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch) -> ApiTenant:
    """Return a tenant with a type and two recipients that have had a message, so that every cache is warm.

    Starts are marked later: many starts share that statement, and on a slow machine it would run before SENT.
    """
    monkeypatch.setattr(dispatcher, "MARK_INTERVAL", 60.0)
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    stored_recipient: dict[str, Any] = {}
    for fields in (stored_recipient, INLINE):
        await api_tenant.wait_for_end(await api_tenant.send("news", **fields), "SENT")
    return api_tenant


async def count_statements(api_tenant: ApiTenant, fields: dict[str, Any]) -> list[Statement]:
    """Return the statements from the request to SENT, which ends the workflow. The test queries only Temporal."""
    with record_statements(api_tenant.engine) as statements:
        id = await api_tenant.send("news", **fields)
        outcome = await (await api_tenant.engine.wait_for_start(id)).result()
        recorded = list(statements)
    assert outcome["status"] == "SENT"
    return [statement for statement in recorded if statement.is_counted]


@pytest.mark.parametrize("fields", [{}, INLINE], ids=["recipient_id", "inline"])
async def test_a_send_costs_at_most_six_statements(warm_tenant: ApiTenant, fields: dict[str, Any]) -> None:
    """Take the minimum of ten sends: during a send, the process may also work for the sends of earlier tests."""
    statements = min([await count_statements(warm_tenant, fields) for _ in range(SENDS)], key=len)
    text_of_all = "\n".join(str(statement) for statement in statements)
    count = len(statements)
    assert count <= 6, f"{count} statements up to SENT:\n{text_of_all}"
    assert count >= 5, f"the recorder misses statements:\n{text_of_all}"


@pytest.mark.parametrize("fields", [{}, INLINE], ids=["recipient_id", "inline"])
async def test_a_send_costs_at_most_twelve_events_and_one_activity(
    warm_tenant: ApiTenant, fields: dict[str, Any]
) -> None:
    history = await warm_tenant.engine.history(await warm_tenant.send("news", **fields))
    event_types = [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]
    assert len(event_types) <= 12, event_types
    assert (event_types.count("ACTIVITY_TASK_SCHEDULED"), event_types.count("MARKER_RECORDED")) == (1, 1), event_types


async def test_a_started_workflow_has_the_build_that_the_server_would_add(warm_tenant: ApiTenant) -> None:
    """Each change of the builds is one more write for searches."""
    id = await warm_tenant.send("news")
    started = (await warm_tenant.engine.history(id)).events[0].workflow_execution_started_event_attributes
    ended = await warm_tenant.engine.workflow(id).describe()
    assert decode_search_attributes(started.search_attributes)["BuildIds"] == ended.search_attributes["BuildIds"]


@dataclass(frozen=True)
class Updates:
    """Count the row versions that Postgres has written to `notification` since the statistics began."""

    all: int
    hot: int


@contextmanager
def flush_statistics_at_each_commit(engine: Engine) -> Iterator[None]:
    """Make every transaction report its statistics at its end. By default Postgres reports them after a second.

    The listener is not removed: that would break a task that waits in a listener at that moment.
    """
    target, is_active = engine.container.database.engine.sync_engine, True

    def flush(connection: Any) -> None:
        if is_active:
            connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")

    execute = QuickSession.execute

    async def execute_and_flush(
        session: QuickSession, statement: TextClause, params: Parameters = None
    ) -> StatementResult:
        rows = await execute(session, statement, params)
        await execute(session, text("SELECT pg_stat_force_next_flush()"), {})
        return rows

    event.listen(target, "commit", flush)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickSession, "execute", execute_and_flush)
        yield
    is_active = False


async def read_updates(engine: Engine) -> Updates:
    statement = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'notification'")
    async with engine.container.database.transaction() as session:
        return Updates(*(await session.execute(statement)).one())


async def count_updates_of_a_send(warm_tenant: ApiTenant) -> tuple[int, int]:
    """Return the number of updates, and the number of those that are not HOT."""
    before = await read_updates(warm_tenant.engine)
    id = await warm_tenant.send("news")
    await (await warm_tenant.engine.wait_for_start(id)).result()
    after = await read_updates(warm_tenant.engine)
    written = after.all - before.all
    return written, written - (after.hot - before.hot)


async def test_a_send_updates_its_notification_at_most_twice(warm_tenant: ApiTenant) -> None:
    """Allow one update that writes the indexes: that of the status. Take the minimum of ten sends, as above."""
    with flush_statistics_at_each_commit(warm_tenant.engine):
        counted = [await count_updates_of_a_send(warm_tenant) for _ in range(SENDS)]
    written, not_hot = min(counted)
    assert (written <= 2, not_hot <= 1) == (True, True), counted
    assert written >= 1, f"the statistics miss updates: {counted}"
