"""Statements over many notifications read indexes: the plans that Postgres makes for them, with many rows."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.gates import GateReason
from domain.ledger import finish
from domain.messages import Gate
from domain.redrives import PARKED
from storage import claims, dispatching, failures, gates, notifications, recoveries, redrives
from storage.acceptance import accept
from storage.claims import Begun, Slots
from storage.database import Database
from storage.ledgers import Key, amend
from storage.notifications import Search
from storage.parked import Filter
from tests.storage.databases import own_database
from tests.storage.queues import EVER, ME
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres

# Of one tenant: one in four is open, and one in five of these started; one in fifty failed, one in a hundred is in
# doubt.
FILL = """
WITH made AS (
  INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
         idempotency_held, created_at, finished_at, generation, revision)
  SELECT gen_random_uuid(), :tenant, 'ada', 'order.shipped', :type_id, '{}',
         CASE WHEN n % 4 = 0 THEN 'PENDING' WHEN n % 50 = 1 THEN 'FAILED' WHEN n % 100 = 2 THEN 'IN_DOUBT'
              ELSE 'DELIVERED' END, n % 5 + 1, '{}', false, now(), CASE WHEN n % 4 > 0 THEN now() END, 1, 3
    FROM generate_series(1, 6000) AS n
  RETURNING id, tenant, priority, finished_at
)
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at)
SELECT id, 1, tenant, priority, CASE WHEN priority = 5 THEN 'started' ELSE 'due' END, now(), now()
  FROM made WHERE finished_at IS NULL
"""


SEQUENTIAL_SCANS = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'queue_entry'"


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture(scope="module")
async def desk(database: Database) -> Desk:
    desk = await open_desk(database)
    await desk.query(FILL, tenant=desk.tenant, type_id=desk.type_id)
    await desk.query("ANALYZE notification, queue_entry")
    return desk


@contextmanager
def recorded(database: Database) -> Iterator[list[tuple[str, Any]]]:
    statements: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        statements.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)


Call = Callable[[AsyncSession, Desk], Awaitable[object]]


async def plan_of(desk: Desk, call: Call) -> str:
    async with desk.database.transaction() as session:
        with recorded(desk.database) as statements:
            await call(session, desk)
        connection = await session.connection()
        plans: list[str] = []
        for statement, parameters in list(statements):
            plans += (await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)).scalars()
    return "\n".join(plans)


A_BATCH = {"after": recoveries.FIRST, "priority": 5, "since": now(), "limit": 100}


def search(**wanted: Any) -> Call:
    return lambda session, desk: notifications.search(session, desk.tenant, Search(**wanted), before=None, limit=50)


@pytest.mark.parametrize(
    ("call", "index"),
    [
        (search(), "notification_of_tenant"),
        (search(status="FAILED"), "notification_of_status"),
        (search(status="PENDING"), "notification_of_status"),
        (search(recipient_id="ada"), "notification_of_"),
        (search(cancel_key="cart-1"), "notification_with_cancel_key"),
        (lambda s, d: failures.page(s, d.tenant, Filter(), after=None, limit=50), "notification_of_status"),
        (lambda s, d: redrives.count(s, d.tenant, Filter()), "notification_of_status"),
        (lambda s, d: redrives.find(s, d.tenant, Filter(), limit=50, lock=True), "notification_of_status"),
        (lambda s, d: redrives.find(s, d.tenant, Filter(status=PARKED[0]), limit=50, lock=True), "notification_of_st"),
        (lambda s, _: claims.end_waits(s, look_back=EVER, limit=16), "queue_entry_timed"),
        (lambda s, _: dispatching.strays(s, 20), "queue_entry_looked_after"),
        (lambda s, _: s.execute(recoveries.BATCH, A_BATCH), "queue_entry_pkey"),
        (lambda s, _: dispatching.unsignaled_cancels(s, 16), "queue_entry_cancels"),
        (lambda s, _: dispatching.evidence_due(s, 16), "queue_entry_evidence"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_statement_reads_its_index(desk: Desk, call: Call, index: str) -> None:
    plan = await plan_of(desk, call)
    assert index in plan, plan
    assert "Seq Scan on notification" not in plan, plan


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[Desk]:
    """With a queue that is empty and vacuumed, as after a quiet night."""
    async with own_database(database_url) as database:
        connection = await database.dedicated()
        await connection.execute("VACUUM (ANALYZE) queue_entry")
        await connection.close()
        yield await open_desk(database)


async def test_statements_planned_while_the_queue_is_empty_read_its_indexes(empty: Desk) -> None:
    """Postgres keeps their plans for the thousands that come next."""

    async def every_one(session: AsyncSession, desk: Desk) -> None:
        item = desk.new()
        await accept(session, desk.tenant, [item])
        key = Key(notification_id=item.id, tenant=desk.tenant)
        await claims.end_waits(session, look_back=EVER, limit=16)
        await claims.mark_begun(session, ME, [Begun(id=item.id, generation=1)])
        await claims.free_slot(session, item.id, 1)
        await claims.wait_until(session, item.id, 1, now())
        await dispatching.strays(session, 16)
        await dispatching.unsignaled_cancels(session, 16)
        await dispatching.evidence_due(session, 16)
        await dispatching.redispatch(session, item.id, 1)
        await gates.wait(session, key, 1, Gate(reason=GateReason.QUIET_HOURS, until=now()))
        await gates.passed(session, key)
        await gates.reconsider(session, desk.tenant, desk.recipient_id)
        await amend(session, key, lambda ledger: finish(ledger, now()))

    plan = await plan_of(empty, every_one)
    assert "Seq Scan on queue_entry" not in plan, plan
    assert plan.count("queue_entry_pkey") >= 5, plan


async def sequential_scans_of_a_claim(desk: Desk) -> int:
    """EXPLAIN does not show the statements of its function."""
    async with desk.database.transaction() as session:
        await accept(session, desk.tenant, [desk.new()])
        before = (await session.execute(text(SEQUENTIAL_SCANS))).scalar_one()
        claimed, _ = await claims.claim(session, ME, Slots(total=16, reserved=4), most=16, look_back=EVER)
        scans = int((await session.execute(text(SEQUENTIAL_SCANS))).scalar_one() - before)
        await session.rollback()
    assert claimed
    return scans


async def test_a_claim_reads_indexes_only(desk: Desk) -> None:
    assert await sequential_scans_of_a_claim(desk) == 0


async def test_a_claim_planned_while_the_queue_is_empty_reads_indexes_only(empty: Desk) -> None:
    assert await sequential_scans_of_a_claim(empty) == 0


async def test_parked_ones_are_read_in_order_and_not_sorted(desk: Desk) -> None:
    """A redrive of many pages reads each row once, also among a hundred thousand failures."""
    plan = await plan_of(desk, lambda s, d: redrives.find(s, d.tenant, Filter(), limit=10, lock=False))
    page = plan.partition("notification_pkey")[0]
    assert "Merge Append" in page, plan
    assert "Sort  (" not in page, plan
