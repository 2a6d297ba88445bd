"""That each invariant can fail: tables with one sound notification, and one lie at a time."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.faults.invariants import INVARIANTS, broken

pytestmark = pytest.mark.postgres

TABLES = ("notification", "delivery", "attempt", "event", "sandbox_call", "sandbox_message")
# Temporary tables stand before the real ones, have no foreign keys, and are gone with the connection.
SHADOW = "CREATE TEMP TABLE {0} AS SELECT * FROM public.{0} WITH NO DATA"
ID, DELIVERY, ATTEMPT = (f"00000000-0000-7000-8000-00000000000{digit}" for digit in "123")
SOUND = f"""
INSERT INTO notification (id, idempotency_key, idempotency_held, status, generation, created_at, finished_at)
     VALUES ('{ID}', 'a key', true, 'DELIVERED', 1, now(), now());
INSERT INTO delivery (id, notification_id, generation, channel, status)
     VALUES ('{DELIVERY}', '{ID}', 1, 'email', 'DELIVERED');
INSERT INTO attempt (id, notification_id, delivery_id, endpoint_id, state, started_at)
     VALUES ('{ATTEMPT}', '{ID}', '{DELIVERY}', 'email', 'accepted', now() - interval '2 s');
INSERT INTO sandbox_call (id, attempt_id, delivery_id, endpoint_id, at)
     VALUES (gen_random_uuid(), '{ATTEMPT}', '{DELIVERY}', 'email', now() - interval '1 s');
INSERT INTO sandbox_message (id, notification_id, delivery_id, attempt_id, endpoint_id, accepted_at)
     VALUES (gen_random_uuid(), '{ID}', '{DELIVERY}', '{ATTEMPT}', 'email', now());
INSERT INTO event (notification_id, position, kind, delivery_id, delivery_status, status)
     VALUES ('{ID}', 1, 'accepted', NULL, NULL, 'PENDING'), ('{ID}', 2, 'rendered', '{DELIVERY}', 'PENDING', NULL),
            ('{ID}', 3, 'sent', '{DELIVERY}', 'SENT', 'SENT'),
            ('{ID}', 4, 'delivered', '{DELIVERY}', 'DELIVERED', 'DELIVERED');
"""
SENT_AGAIN = "INSERT INTO sandbox_message SELECT (m).* FROM (SELECT m FROM sandbox_message m) same"
LIES = {
    "I1 one row per key": "INSERT INTO notification SELECT (n).* FROM (SELECT n FROM notification n) same",
    "I2 every one ends": "UPDATE notification SET finished_at = NULL",
    "I2 an end is a status": "UPDATE notification SET status = 'PENDING'",
    "I2 no attempt is left open": "UPDATE attempt SET state = 'submitting'",
    "I3 at most one send": SENT_AGAIN,
    "I4 written before the call": "UPDATE attempt SET started_at = now() + interval '1 s'",
    "I4 called for": "DELETE FROM sandbox_call",
    "I5 sent is never called unsent": "UPDATE delivery SET status = 'FAILED'",
    "I5 unsent is never called sent": "DELETE FROM sandbox_message",
    "I5 as good as its best delivery": "UPDATE notification SET status = 'FAILED'",
    "I12 one event per status": "DELETE FROM event WHERE position = 4",
    "I12 one event per delivery status": "UPDATE event SET delivery_status = 'SENT' WHERE position = 4",
}


@pytest.fixture
async def forgery(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.replace("postgresql+asyncpg", "postgresql", 1))
    for table in TABLES:
        await connection.execute(SHADOW.format(table))
    await connection.execute(SOUND)
    yield connection
    await connection.close()


async def found(connection: asyncpg.Connection) -> dict[str, list[dict[str, Any]]]:
    async def rows(sql: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.fetch(sql)]

    return await broken(rows)


async def test_a_sound_notification_breaks_nothing(forgery: asyncpg.Connection) -> None:
    assert await found(forgery) == {}


@pytest.mark.parametrize("name", INVARIANTS)
async def test_a_lie_is_found(forgery: asyncpg.Connection, name: str) -> None:
    await forgery.execute(LIES[name])
    assert name in await found(forgery)


async def test_a_second_send_after_an_unknown_outcome_is_no_lie(forgery: asyncpg.Connection) -> None:
    """`at_least_once` resends: the first attempt says so, the second stands for itself."""
    again = "00000000-0000-7000-8000-000000000004"
    await forgery.execute("UPDATE attempt SET state = 'unknown'")
    for table, column in (("attempt", "id"), ("sandbox_call", "attempt_id"), ("sandbox_message", "attempt_id")):
        await forgery.execute(f"CREATE TEMP TABLE copy AS SELECT * FROM {table}; UPDATE copy SET {column} = '{again}'")
        await forgery.execute(f"INSERT INTO {table} SELECT * FROM copy; DROP TABLE copy")
    await forgery.execute(f"UPDATE attempt SET state = 'accepted' WHERE id = '{again}'")
    assert await found(forgery) == {}
    await forgery.execute("UPDATE attempt SET state = 'accepted'")
    assert "I3 at most one send" in await found(forgery)
