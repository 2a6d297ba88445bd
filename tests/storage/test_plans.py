"""Statements over many notifications read indexes: the plans that Postgres makes for them, with many rows."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.cursors import MIN_ID
from domain.gates import Gate, GateReason
from domain.ledger import finish_notification
from domain.redrives import DEAD_LETTER_STATUSES
from storage import (
    attempts,
    claims,
    dead_letters,
    digest_closing,
    engine_state,
    gates,
    inbound_messages,
    notifications,
    preferences,
    reconsiderations,
)
from storage.acceptance import accept, read_send_preview
from storage.claims import Slots, StartedClaim
from storage.database import Database
from storage.ledgers import NotificationRef, amend
from storage.notifications import NotificationFilter
from tests.storage.databases import own_database
from tests.storage.queues import NO_LOOK_BACK_LIMIT, PROCESS
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

# Of one tenant: one in four is open, and one in five of these started; one in fifty failed, one in a hundred is in
# doubt.
FILL = """
WITH made AS (
  INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
         holds_idempotency_key, created_at, finished_at, generation, revision)
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


SHARED_FUNCTIONS = ("event_messages_of", "recipient_destinations", "attempt_gates")
SEQUENTIAL_SCANS = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'queue_entry'"


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


@pytest.fixture(scope="module")
async def database_tenant(database: Database) -> DatabaseTenant:
    database_tenant = await open_database_tenant(database)
    await database_tenant.query(FILL, tenant=database_tenant.tenant, type_id=database_tenant.type_id)
    await database_tenant.query("ANALYZE notification, queue_entry")
    return database_tenant


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


Call = Callable[[AsyncSession, DatabaseTenant], Awaitable[object]]


async def plan_of(database_tenant: DatabaseTenant, call: Call) -> str:
    async with database_tenant.database.transaction() as session:
        with recorded(database_tenant.database) as statements:
            await call(session, database_tenant)
        connection = await session.connection()
        plans: list[str] = []
        for statement, parameters in list(statements):
            plans += (await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)).scalars()
    return "\n".join(plans)


A_BATCH = {"after": MIN_ID, "priority": 5, "since": now(), "limit": 100}


def search(**wanted: Any) -> Call:
    return lambda session, database_tenant: notifications.search(
        session, database_tenant.tenant, NotificationFilter(**wanted), before=None, limit=50
    )


@pytest.mark.parametrize(
    ("call", "index"),
    [
        (search(), "notification_of_tenant"),
        (
            lambda s, d: inbound_messages.list_page(s, d.tenant, None, before=None, limit=50),
            "inbound_message_of_tenant",
        ),
        (search(status="FAILED"), "notification_of_status"),
        (search(status="PENDING"), "notification_of_status"),
        (search(recipient_id="ada"), "notification_of_"),
        (search(cancel_key="cart-1"), "notification_with_cancel_key"),
        (
            lambda s, d: dead_letters.list_failure_groups(s, d.tenant, NotificationFilter(), after=None, limit=50),
            "notification_of_status",
        ),
        (lambda s, d: dead_letters.count_dead_letters(s, d.tenant, NotificationFilter()), "notification_of_status"),
        (
            lambda s, d: dead_letters.find_targets(s, d.tenant, NotificationFilter(), limit=50, lock=True),
            "notification_of_status",
        ),
        (
            lambda s, d: dead_letters.find_targets(
                s, d.tenant, NotificationFilter(status=DEAD_LETTER_STATUSES[0]), limit=50, lock=True
            ),
            "notification_of_st",
        ),
        (lambda s, _: claims.make_waiting_due(s, look_back=NO_LOOK_BACK_LIMIT, limit=16), "queue_entry_timed"),
        (lambda s, _: claims.claim_orphans(s, 20), "queue_entry_may_be_orphaned"),
        (lambda s, _: s.execute(engine_state.RESET_BATCH, A_BATCH), "queue_entry_pkey"),
        (lambda s, _: claims.list_unsignaled_cancels(s, 16), "queue_entry_cancels"),
        (lambda s, _: claims.list_unsignaled_evidence(s, 16), "queue_entry_evidence"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_statement_reads_its_index(database_tenant: DatabaseTenant, call: Call, index: str) -> None:
    plan = await plan_of(database_tenant, call)
    assert index in plan, plan
    assert "Seq Scan on notification" not in plan, plan


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[DatabaseTenant]:
    """With a queue that is empty and vacuumed, as after a quiet night."""
    async with own_database(database_url) as database:
        connection = await database.dedicated()
        await connection.execute("VACUUM (ANALYZE) queue_entry")
        await connection.close()
        yield await open_database_tenant(database)


async def test_statements_planned_while_the_queue_is_empty_read_its_indexes(empty: DatabaseTenant) -> None:
    """Postgres keeps their plans for the thousands that come next."""

    async def every_one(session: AsyncSession, database_tenant: DatabaseTenant) -> None:
        item = database_tenant.new()
        await accept(session, database_tenant.tenant, [item], notify=True)
        ref = NotificationRef(notification_id=item.id, tenant=database_tenant.tenant)
        await claims.make_waiting_due(session, look_back=NO_LOOK_BACK_LIMIT, limit=16)
        await claims.mark_started(session, PROCESS, [StartedClaim(id=item.id, generation=1)])
        await claims.release_slot(session, item.id, 1)
        await claims.set_wait(session, item.id, 1, now())
        await claims.claim_orphans(session, 16)
        await claims.list_unsignaled_cancels(session, 16)
        await claims.list_unsignaled_evidence(session, 16)
        await claims.redispatch(session, item.id, 1)
        await gates.wait_at_gate(session, ref, 1, Gate(reason=GateReason.QUIET_HOURS, until=now()))
        await gates.pass_gates(session, ref)
        await reconsiderations.reconsider(session, database_tenant.tenant, database_tenant.recipient_id)
        await amend(session, ref, lambda ledger: finish_notification(ledger, now()))

    plan = await plan_of(empty, every_one)
    assert "Seq Scan on queue_entry" not in plan, plan
    assert plan.count("queue_entry_pkey") >= 5, plan


async def sequential_scans_of_a_claim(database_tenant: DatabaseTenant) -> int:
    """EXPLAIN does not show the statements of its function."""
    async with database_tenant.database.transaction() as session:
        await accept(session, database_tenant.tenant, [database_tenant.new()], notify=True)
        before = (await session.execute(text(SEQUENTIAL_SCANS))).scalar_one()
        claimed, _ = await claims.claim_due(
            session, PROCESS, Slots(total=16, reserved=4), batch_size=16, look_back=NO_LOOK_BACK_LIMIT
        )
        scans = int((await session.execute(text(SEQUENTIAL_SCANS))).scalar_one() - before)
        await session.rollback()
    assert claimed
    return scans


async def test_a_claim_reads_indexes_only(database_tenant: DatabaseTenant) -> None:
    assert await sequential_scans_of_a_claim(database_tenant) == 0


async def test_a_claim_planned_while_the_queue_is_empty_reads_indexes_only(empty: DatabaseTenant) -> None:
    assert await sequential_scans_of_a_claim(empty) == 0


async def test_shared_functions_are_inlined_into_their_statements(database_tenant: DatabaseTenant) -> None:
    """A function that Postgres calls has a plan of its own in each session and hides its rows from the planner."""
    sent = await database_tenant.send()

    async def every_one(session: AsyncSession, database_tenant: DatabaseTenant) -> None:
        await attempts.claim_attempt(session, sent.call())
        values = {"id": sent.id, "tenant": database_tenant.tenant, "delivery_id": sent.delivery(), "provider": "smtp"}
        await session.execute(attempts.RELOAD_GATES, values)
        await preferences.read_recipient_context(session, sent.id, database_tenant.tenant)
        await read_send_preview(session, database_tenant.tenant, database_tenant.new())
        await amend(session, sent.ref, lambda ledger: finish_notification(ledger, now()))
        await session.execute(digest_closing.END_MEMBERS, {"ends": "[]", "at": now()})

    plan = await plan_of(database_tenant, every_one)
    assert "event_endpoint p" in plan, plan
    assert [name for name in SHARED_FUNCTIONS if f"Function Scan on {name}" in plan] == []


async def test_dead_letters_are_read_in_index_order(database_tenant: DatabaseTenant) -> None:
    """A redrive of many pages reads each row once, also among a hundred thousand failures."""
    plan = await plan_of(
        database_tenant, lambda s, d: dead_letters.find_targets(s, d.tenant, NotificationFilter(), limit=10, lock=False)
    )
    page = plan.partition("notification_pkey")[0]
    assert "Merge Append" in page, plan
    assert "Sort  (" not in page, plan
