"""Check that each invariant can fail: tables with one valid notification, and one false row at a time."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from faults.invariants import INVARIANTS, broken

pytestmark = pytest.mark.postgres

TABLES = (
    *("queue_entry", "notification", "delivery", "attempt", "event", "receipt", "recipient", "inbox_message"),
    *("notification_type", "template", "sandbox_call", "sandbox_message"),
)
# Temporary tables hide the real ones, have no foreign keys, and end with the connection.
SHADOW = "CREATE TEMP TABLE {0} AS SELECT * FROM public.{0} WITH NO DATA"
ID, DELIVERY, ATTEMPT, TENANT, TYPE, TEXT, OUTSIDE = (
    f"00000000-0000-7000-8000-00000000000{digit}" for digit in "123a5bc"
)
# By email in the sandbox, and by SMS at an external vendor.
VALID = f"""
INSERT INTO recipient (tenant, recipient_id, contact) VALUES ('{TENANT}', 'ada', '{{"phone": "+1555"}}');
INSERT INTO notification_type (id, tenant) VALUES ('{TYPE}', '{TENANT}');
INSERT INTO notification (id, tenant, recipient_id, type_id, idempotency_key, holds_idempotency_key, status, generation,
                          created_at, finished_at)
     VALUES ('{ID}', '{TENANT}', 'ada', '{TYPE}', 'a key', true, 'DELIVERED', 1, now(), now());
INSERT INTO delivery (id, tenant, notification_id, generation, channel, status)
     VALUES ('{DELIVERY}', '{TENANT}', '{ID}', 1, 'email', 'DELIVERED'),
            ('{TEXT}', '{TENANT}', '{ID}', 1, 'sms', 'SENT');
INSERT INTO attempt (id, tenant, notification_id, delivery_id, endpoint_id, provider, state, evidence, started_at)
     VALUES ('{ATTEMPT}', '{TENANT}', '{ID}', '{DELIVERY}', 'email', 'sandbox', 'accepted', 'delivered',
             now() - interval '2 s'),
            ('{OUTSIDE}', '{TENANT}', '{ID}', '{TEXT}', 'sms', 'twilio', 'accepted', 'sent', now() - interval '2 s');
INSERT INTO receipt (id, provider, kind, attempt_id, applied_at)
     VALUES (gen_random_uuid(), 'sandbox', 'delivered', '{ATTEMPT}', now());
INSERT INTO sandbox_call (id, attempt_id, delivery_id, endpoint_id, at)
     VALUES (gen_random_uuid(), '{ATTEMPT}', '{DELIVERY}', 'email', now() - interval '1 s');
INSERT INTO sandbox_message (id, tenant, recipient_id, notification_id, delivery_id, attempt_id, endpoint_id,
                             accepted_at)
     VALUES (gen_random_uuid(), '{TENANT}', 'ada', '{ID}', '{DELIVERY}', '{ATTEMPT}', 'email', now());
INSERT INTO event (tenant, notification_id, position, kind, delivery_id, delivery_status, status)
     VALUES ('{TENANT}', '{ID}', 1, 'accepted', NULL, NULL, 'PENDING'),
            ('{TENANT}', '{ID}', 2, 'rendered', '{DELIVERY}', 'PENDING', NULL),
            ('{TENANT}', '{ID}', 3, 'sent', '{DELIVERY}', 'SENT', 'SENT'),
            ('{TENANT}', '{ID}', 4, 'sent', '{TEXT}', 'SENT', NULL),
            ('{TENANT}', '{ID}', 5, 'delivered', '{DELIVERY}', 'DELIVERED', 'DELIVERED');
"""
CALL: dict[str, Any] = {"kind": "call", "provider": "twilio", "reference": OUTSIDE, "at": 2_000_000_000.0}
KEPT: dict[str, Any] = {**CALL, "kind": "kept", "message_id": "m", "to": "+1555"}
SENT_AGAIN = "INSERT INTO sandbox_message SELECT (m).* FROM (SELECT m FROM sandbox_message m) same"
VIOLATIONS = {
    "I1 one row per key": "INSERT INTO notification SELECT (n).* FROM (SELECT n FROM notification n) same",
    "I2 every notification ends": "UPDATE notification SET finished_at = NULL",
    "I2 a finished notification has a final status": "UPDATE notification SET status = 'PENDING'",
    "I2 every open notification has a queue entry": (
        f"INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at)"
        f" VALUES ('{ID}', 1, '{TENANT}', 3, 'started', now())"
    ),
    "I2 no attempt is left open": "UPDATE attempt SET state = 'submitting', evidence = NULL",
    "I3 at most one send": SENT_AGAIN,
    "I4 the attempt row precedes the call": "UPDATE attempt SET started_at = now() + interval '1 s'",
    "I4 every message has a call": "DELETE FROM sandbox_call",
    "I5 no sent delivery is recorded as unsent": "UPDATE delivery SET status = 'FAILED'",
    "I5 no unsent delivery is recorded as sent": "DELETE FROM sandbox_message",
    "I5 the status is that of the best delivery": "UPDATE notification SET status = 'FAILED'",
    "I6 receipts are applied": "UPDATE attempt SET evidence = 'sent'",
    "I7 no row links two tenants": "UPDATE attempt SET tenant = gen_random_uuid()",
    "I7 every message reached its own recipient": """UPDATE recipient SET contact = '{"phone": "+1666"}'""",
    "I12 one event per status": "DELETE FROM event WHERE position = 5",
    "I12 one event per delivery status": "UPDATE event SET delivery_status = 'SENT' WHERE position = 5",
}
# Entries that an external vendor may have in its log instead.
EXTERNAL_VIOLATIONS: dict[str, list[dict[str, Any]]] = {
    "I3 at most one send": [CALL, KEPT, {**KEPT, "message_id": "m-again"}],
    "I4 the attempt row precedes the call": [CALL, KEPT, {**CALL, "reference": ID}],
    "I4 every message has a call": [KEPT],
    "I5 no unsent delivery is recorded as sent": [CALL],
    "I7 every message reached its own recipient": [CALL, {**KEPT, "to": "+1666"}],
}


@pytest.fixture
async def tables(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.replace("postgresql+asyncpg", "postgresql", 1))
    for table in TABLES:
        await connection.execute(SHADOW.format(table))
    await connection.execute(VALID)
    yield connection
    await connection.close()


async def found(
    connection: asyncpg.Connection, outside: Sequence[dict[str, Any]] = (CALL, KEPT)
) -> dict[str, list[dict[str, Any]]]:
    async def rows(sql: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.fetch(sql, *values)]

    return await broken(rows, outside)


async def test_a_valid_notification_breaks_no_invariant(tables: asyncpg.Connection) -> None:
    assert await found(tables) == {}


@pytest.mark.parametrize("name", INVARIANTS)
async def test_a_violation_is_found(tables: asyncpg.Connection, name: str) -> None:
    await tables.execute(VIOLATIONS[name])
    assert name in await found(tables)


@pytest.mark.parametrize("name", EXTERNAL_VIOLATIONS)
async def test_a_false_entry_of_an_external_vendor_log_is_found(tables: asyncpg.Connection, name: str) -> None:
    assert name in await found(tables, EXTERNAL_VIOLATIONS[name])


@pytest.mark.parametrize("table", ["delivery", "event", "sandbox_message"])
async def test_a_row_of_another_tenant_is_found(tables: asyncpg.Connection, table: str) -> None:
    await tables.execute(f"UPDATE {table} SET tenant = gen_random_uuid()")
    assert "I7 no row links two tenants" in await found(tables)


async def test_an_unapplied_receipt_is_found(tables: asyncpg.Connection) -> None:
    await tables.execute("UPDATE receipt SET applied_at = NULL")
    assert "I6 receipts are applied" in await found(tables)


async def test_a_second_send_after_an_unknown_outcome_is_no_violation(tables: asyncpg.Connection) -> None:
    """Check `at_least_once`: the first attempt is unknown, and the second one counts by itself."""
    again = "00000000-0000-7000-8000-000000000004"
    await tables.execute(f"UPDATE attempt SET state = 'unknown' WHERE id = '{ATTEMPT}'")
    for table, column in (("attempt", "id"), ("sandbox_call", "attempt_id"), ("sandbox_message", "attempt_id")):
        await tables.execute(f"CREATE TEMP TABLE copy AS SELECT * FROM {table} WHERE {column} = '{ATTEMPT}'")
        await tables.execute(f"UPDATE copy SET {column} = '{again}'")
        await tables.execute(f"INSERT INTO {table} SELECT * FROM copy; DROP TABLE copy")
    await tables.execute(f"UPDATE attempt SET state = 'accepted' WHERE id = '{again}'")
    assert await found(tables) == {}
    await tables.execute("UPDATE attempt SET state = 'accepted'")
    assert "I3 at most one send" in await found(tables)


CHAT = "00000000-0000-7000-8000-00000000000d"
# The first of two calls has an unknown outcome.
CHAT_ROWS = f"""
INSERT INTO delivery (id, tenant, notification_id, generation, channel, status)
     VALUES ('{CHAT}', '{TENANT}', '{ID}', 1, 'chat', 'SENT');
INSERT INTO attempt (id, tenant, notification_id, delivery_id, endpoint_id, provider, state, started_at)
     VALUES (gen_random_uuid(), '{TENANT}', '{ID}', '{CHAT}', 'chat', 'chat', 'unknown', now() - interval '60 s'),
            (gen_random_uuid(), '{TENANT}', '{ID}', '{CHAT}', 'chat', 'chat', 'accepted', now() - interval '30 s');
INSERT INTO event (tenant, notification_id, position, kind, delivery_id, delivery_status)
     VALUES ('{TENANT}', '{ID}', 6, 'sent', '{CHAT}', 'SENT');
"""


def chat_entries(*ages: float) -> list[dict[str, Any]]:
    """Return a call that was accepted at each of these ages, in seconds, at the chat of the recipient."""
    entries = []
    for age in ages:
        call = {"kind": "call", "provider": "chat", "reference": "ada", "at": time.time() - age}
        entries += [call, {**call, "kind": "kept", "message_id": str(age), "to": "/services/T1/B1/canary-0-ada-"}]
    return entries


@pytest.mark.parametrize(
    ("ages", "names"),
    [
        ((50, 20), set()),
        ((50, 20, 10), {"I3 at most one send"}),
        ((50, 40), {"I3 at most one send"}),
        ((90, 20), {"I4 the attempt row precedes the call", "I4 every message has a call"}),
        ((), {"I5 no unsent delivery is recorded as sent"}),
    ],
)
async def test_a_chat_message_belongs_to_the_last_attempt_before_it(
    tables: asyncpg.Connection, ages: tuple[float, ...], names: set[str]
) -> None:
    await tables.execute(CHAT_ROWS)
    assert set(await found(tables, [CALL, KEPT, *chat_entries(*ages)])) == names


@pytest.mark.parametrize(("owner", "is_broken"), [("ada", False), ("ada2", True), ("bob", True)])
async def test_a_token_must_contain_the_recipient(tables: asyncpg.Connection, owner: str, is_broken: bool) -> None:
    kept = {**KEPT, "to": f"canary-0-{owner}-android"}
    assert set(await found(tables, [CALL, kept])) == (
        {"I7 every message reached its own recipient"} if is_broken else set()
    )
