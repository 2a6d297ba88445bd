"""Check I6: receipts of many notifications, in any order and repeated, give the same rows.

The real applier applies each permutation, eight at a time, to a copy of one database.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from dispatch.receipt_applier import ReceiptApplier
from domain.channels import Channel
from domain.evidence import AttemptState, ReceiptKind
from domain.ledger import finish_notification, record_outcome
from domain.records import Ledger
from storage import receipts
from storage.attempts import claim_attempt
from storage.database import Database
from storage.deliveries import NewDelivery, insert_deliveries
from storage.ledgers import NotificationRef, amend
from storage.migrate import migrate
from storage.receipts import StoredReceipt
from tests.storage.databases import ENCRYPTION
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
# Possible results of the call itself; None: no response yet.
STATES = (AttemptState.ACCEPTED, AttemptState.ACCEPTED, AttemptState.UNKNOWN, None)
REPEATED = 0.3
ROWS = {
    "notification": "SELECT id, status, failure_reason FROM notification",
    "delivery": """
      SELECT id, status, failure_reason, provider_message_id, sent_at, delivered_at, opened_at, clicked_at FROM delivery
      """,
    "attempt": "SELECT id, state, evidence, sent_at, delivered_at, bounced_at, opened_at, clicked_at FROM attempt",
    "suppression": """
      SELECT address_hash AS id, channel, reason, source, notification_id, lifted_at, expires_at IS NULL AS for_ever
        FROM suppression""",
    "receipt": "SELECT id, applied_at IS NOT NULL AS applied FROM receipt",
}
STATUSES = "SELECT count(*) FROM event WHERE status IS NOT NULL GROUP BY notification_id, status HAVING count(*) > 1"

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class AppliedRows:
    """Hold the final rows of one permutation, and the number of repeated status events."""

    rows: Rows
    repeated_events: int


@asynccontextmanager
async def database_copies(database_url: str) -> AsyncIterator["DatabaseCopies"]:
    made = DatabaseCopies(database_url)
    await made.execute(f"CREATE DATABASE {made.base}")
    try:
        yield made
    finally:
        await made.execute(f"DROP DATABASE {made.base} WITH (FORCE)")


class DatabaseCopies:
    """Create a database and copies of it."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self.base = f"base_{uuid4().hex}"

    def url(self, name: str) -> str:
        return f"{self._database_url.rpartition('/')[0]}/{name}"

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._database_url.replace("+asyncpg", "", 1))
        await connection.execute(statement)
        await connection.close()

    @asynccontextmanager
    async def copy(self) -> AsyncIterator[Database]:
        name = f"copy_{uuid4().hex}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {self.base}")
        database = Database(self.url(name), encryption=ENCRYPTION)
        try:
            yield database
        finally:
            await database.close()
            await self.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def write_notifications(url: str, count: int, rand: Random) -> list[StoredReceipt]:
    """Write notifications, each to another recipient, finished or half finished. Return all their receipts."""
    await migrate(url)
    database = Database(url, encryption=ENCRYPTION)
    database_tenant = await open_database_tenant(database)
    items = [
        database_tenant.new(f"recipient-{n}", profile={"contact": {"email": f"p{n}@example.com"}}) for n in range(count)
    ]
    await database_tenant.accept(*items)
    stored_receipts: list[StoredReceipt] = []
    for item in items:
        state = rand.choice(STATES)
        sent = DatabaseSend(database_tenant=database_tenant, id=item.id, channels=(Channel.EMAIL,))
        await _record_call(database_tenant, sent, state)
        stored_receipts += receipts_of(sent, state, rand)
    await database.close()
    return stored_receipts


async def _record_call(database_tenant: DatabaseTenant, sent: DatabaseSend, state: AttemptState | None) -> None:
    draft = NewDelivery(id=sent.delivery(), step=1, channel=Channel.EMAIL, rule="type.default", content={})

    def change(ledger: Ledger) -> Ledger:
        known = replace(ledger.attempts[sent.attempt()], provider_message_id=_message_id(sent))
        if state is None:
            return ledger
        after = record_outcome(ledger, known, state, AT)
        return finish_notification(after, AT) if state is AttemptState.ACCEPTED else after

    async with database_tenant.database.transaction() as session:
        await insert_deliveries(session, sent.id, database_tenant.tenant, 1, [draft])
        await claim_attempt(session, sent.call())
        await amend(session, sent.ref, change)


def _message_id(sent: DatabaseSend) -> str:
    return f"message-{sent.id}"


def receipts_of(sent: DatabaseSend, state: AttemptState | None, rand: Random) -> list[StoredReceipt]:
    """Return receipts of some kinds, each once, by attempt id, or by the vendor's id where it is known."""
    kinds = rand.sample(list(ReceiptKind), rand.randint(1, 3))
    by_id = state is AttemptState.ACCEPTED and rand.random() < 0.5
    return [
        StoredReceipt(
            id=UUID(int=rand.getrandbits(128)),
            provider="sandbox",
            kind=kind,
            attempt_id=None if by_id else sent.attempt(),
            provider_message_id=_message_id(sent) if by_id else None,
            reason="invalid_address" if kind is ReceiptKind.BOUNCED else None,
            occurred_at=AT + timedelta(seconds=rand.randrange(100_000)),
            raw={},
        )
        for kind in kinds
    ]


async def apply_receipts(database: Database, stored_receipts: Sequence[StoredReceipt], rand: Random) -> AppliedRows:
    """Apply the receipts in a random order, some repeated under another id, as vendors do."""
    again = [replace(one, id=UUID(int=rand.getrandbits(128))) for one in stored_receipts if rand.random() < REPEATED]
    order = [*stored_receipts, *again, *rand.sample(list(stored_receipts), len(stored_receipts) // 10)]
    rand.shuffle(order)
    async with database.transaction() as session:
        await receipts.store(session, order)
    dsn = database.url.replace("+asyncpg", "", 1)
    connection = await asyncpg.connect(dsn)
    places = {one.id: place for place, one in enumerate(order)}
    await connection.execute(
        "UPDATE receipt r SET next_attempt_at = now() - interval '1 hour' + x.place * interval '1 ms'"
        "  FROM unnest($1::uuid[], $2::int[]) AS x(id, place) WHERE r.id = x.id",
        list(places),
        list(places.values()),
    )
    await ReceiptApplier(database).apply_waiting()
    await _ended(database, connection)
    rows = {table: await _sorted(connection, statement) for table, statement in ROWS.items()}
    known = {str(one.id) for one in stored_receipts}
    rows["receipt"] = [row for row in rows["receipt"] if row["id"] in known or not row["applied"]]
    twice = len(await connection.fetch(STATUSES))
    await connection.close()
    return AppliedRows(rows=rows, repeated_events=twice)


async def _ended(database: Database, connection: asyncpg.Connection) -> None:
    """Let the workflows of half-finished notifications give up, which decides their status."""
    for row in await connection.fetch("SELECT id, tenant FROM notification WHERE finished_at IS NULL"):
        async with database.transaction() as session:
            ref = NotificationRef(notification_id=row["id"], tenant=row["tenant"])
            await amend(session, ref, lambda ledger: finish_notification(ledger, AT))


async def _sorted(connection: asyncpg.Connection, statement: str) -> list[dict[str, Any]]:
    rows = [{name: str(value) for name, value in row.items()} for row in await connection.fetch(statement)]
    return sorted(rows, key=lambda row: json.dumps(row))


async def differences(database_url: str, count: int, permutations: int, seed: int) -> list[str]:
    """Return the permutations with other rows than the first; empty if all agree."""
    found = []
    async with database_copies(database_url) as made:
        stored_receipts = await write_notifications(made.url(made.base), count, Random(seed))
        first: AppliedRows | None = None
        for number in range(permutations):
            async with made.copy() as database:
                outcome = await apply_receipts(database, stored_receipts, Random(f"{seed} {number}"))
            first = first or outcome
            wrong = [table for table in ROWS if outcome.rows[table] != first.rows[table]]
            if wrong or outcome.repeated_events:
                repeated = outcome.repeated_events
                found.append(f"permutation {number}: {', '.join(wrong)}; {repeated} repeated status events")
    return found
