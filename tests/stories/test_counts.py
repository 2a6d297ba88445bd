"""What one send costs: events in Temporal's history, activities, SQL statements. Each is a limit on the throughput."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import TextClause, event, text
from temporalio.api.enums.v1 import EventType

from dispatch import dispatcher
from dispatch.loops import TASK_PREFIX
from storage.statements import QuickSession, StatementResult
from tests.engine import ApiTenant, Engine

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# Of the sandbox vendor's own log, and of the lease, which is renewed each second.
NOT_OURS = ("sandbox_call", "sandbox_message", "sandbox_receipt", "INTO lease ")
# At most fifty times a second for all sends of a process.
SHARED = "SELECT pg_notify(:channel, due) "
SENDS = 10
# No receipt: it could come, and cost statements, before the workflow's end is seen.
INLINE: dict[str, Any] = {"recipient": {"recipient_id": "grace", "email": "grace+silent@example.com"}}


Parameters = Mapping[str, Any] | None


@dataclass(frozen=True)
class Statement:
    text: str
    rows: int
    task: str

    @property
    def is_polling(self) -> bool:
        """Whether a background loop looked for work because its clock (1, 2 or 5 s) said so. The claim that returned
        our row is part of the price; a claim also returns a row that says whether there is room."""
        found_ours = "claim_due" in self.text and self.rows > 1
        return self.task.startswith(TASK_PREFIX) and not found_ours

    @property
    def counts(self) -> bool:
        return not self.is_polling and not any(name in self.text for name in (*NOT_OURS, SHARED))

    def __str__(self) -> str:
        return f"{self.rows} rows: {self.text[:150]}"


@contextmanager
def recorded(engine: Engine) -> Iterator[list[Statement]]:
    """Every statement of the process; BEGIN and COMMIT are no statements here. After its execution, to know how many
    rows it found or wrote."""
    statements: list[Statement] = []
    target = engine.container.database.engine.sync_engine

    def keep(statement: str, rows: int) -> None:
        task = asyncio.current_task()
        statements.append(Statement(f"{' '.join(statement.split())} ", rows, task.get_name() if task else ""))

    def note(_: Any, cursor: Any, statement: str, *__: Any) -> None:
        keep(statement, cursor.rowcount)

    execute = QuickSession.execute

    async def noted(session: QuickSession, statement: TextClause, params: Parameters = None) -> StatementResult:
        rows = await execute(session, statement, params)
        keep(statement.text, len(list(rows)))
        return rows

    event.listen(target, "after_cursor_execute", note)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickSession, "execute", noted)
        yield statements
    event.remove(target, "after_cursor_execute", note)


@pytest.fixture
async def ready(api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch) -> ApiTenant:
    """With a type and people who were written to before, so that every cache is warm. Starts are marked later: many
    share that statement, and on a slow machine it would come before SENT."""
    monkeypatch.setattr(dispatcher, "MARK_INTERVAL", 60.0)
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    nothing: dict[str, Any] = {}
    for more in (nothing, INLINE):
        await api_tenant.wait_for_end(await api_tenant.send("news", **more), "SENT")
    return api_tenant


async def price(api_tenant: ApiTenant, more: dict[str, Any]) -> list[Statement]:
    """From the request to SENT: the workflow ends with that. The test itself asks Temporal only."""
    with recorded(api_tenant.engine) as statements:
        id = await api_tenant.send("news", **more)
        outcome = await (await api_tenant.engine.wait_for_start(id)).result()
        seen = list(statements)
    assert outcome["status"] == "SENT"
    return [statement for statement in seen if statement.counts]


@pytest.mark.parametrize("more", [{}, INLINE], ids=["recipient_id", "inline"])
async def test_a_send_costs_at_most_six_statements(ready: ApiTenant, more: dict[str, Any]) -> None:
    """The cheapest of some: while one runs, the process may work for the sends of tests before, never for less."""
    statements = min([await price(ready, more) for _ in range(SENDS)], key=len)
    listed = "\n".join(str(statement) for statement in statements)
    count = len(statements)
    assert count <= 6, f"{count} statements up to SENT:\n{listed}"
    assert count >= 5, f"the count has gone blind:\n{listed}"


@pytest.mark.parametrize("more", [{}, INLINE], ids=["recipient_id", "inline"])
async def test_a_send_costs_at_most_twelve_events_and_one_activity(ready: ApiTenant, more: dict[str, Any]) -> None:
    history = await ready.engine.history(await ready.send("news", **more))
    kinds = [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events]
    assert len(kinds) <= 12, kinds
    assert (kinds.count("ACTIVITY_TASK_SCHEDULED"), kinds.count("MARKER_RECORDED")) == (1, 1), kinds


@dataclass(frozen=True)
class Updates:
    """Row versions that Postgres has written to `notification` since the statistics began."""

    all: int
    hot: int


@contextmanager
def counted_at_each_commit(engine: Engine) -> Iterator[None]:
    """Make every transaction report its statistics at its end. Postgres collects them for a second otherwise.

    The listener stays: taken away while another task waits in one, it would break that task.
    """
    target, counts = engine.container.database.engine.sync_engine, True

    def flush(connection: Any) -> None:
        if counts:
            connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")

    execute = QuickSession.execute

    async def flushed(session: QuickSession, statement: TextClause, params: Parameters = None) -> StatementResult:
        rows = await execute(session, statement, params)
        await execute(session, text("SELECT pg_stat_force_next_flush()"), {})
        return rows

    event.listen(target, "commit", flush)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickSession, "execute", flushed)
        yield
    counts = False


async def updates(engine: Engine) -> Updates:
    statement = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'notification'")
    async with engine.container.database.transaction() as session:
        return Updates(*(await session.execute(statement)).one())


async def updates_of_a_send(ready: ApiTenant) -> tuple[int, int]:
    """How many, and how many of them were not HOT."""
    before = await updates(ready.engine)
    id = await ready.send("news")
    await (await ready.engine.wait_for_start(id)).result()
    after = await updates(ready.engine)
    written = after.all - before.all
    return written, written - (after.hot - before.hot)


async def test_a_send_updates_its_notification_at_most_twice(ready: ApiTenant) -> None:
    """Only the update that sets the status touches the indexes; the cheapest of some, as above."""
    with counted_at_each_commit(ready.engine):
        counted = [await updates_of_a_send(ready) for _ in range(SENDS)]
    written, not_hot = min(counted)
    assert (written <= 2, not_hot <= 1) == (True, True), counted
    assert written >= 1, f"the count has gone blind: {counted}"
