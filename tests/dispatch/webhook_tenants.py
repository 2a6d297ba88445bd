"""Open a tenant with event endpoints, whose posts the test triggers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dispatch.event_poster import EventPoster
from domain.evidence import AttemptState, Evidence
from domain.ledger import record_receipt
from models.event_webhooks import EventEndpoint
from providers.transport import Transport, outgoing_client
from storage import event_endpoints
from storage.database import Database
from storage.event_outbox import ConcurrencyLimits
from storage.ledgers import amend
from storage.statements import decoded
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant


@dataclass(frozen=True, kw_only=True)
class WebhookTenant(DatabaseTenant):
    """Add event endpoints, and a poster that the test triggers."""

    posts: EventPoster

    async def endpoint(self, key: str, url: str, *events: str, enabled: bool = True) -> EventEndpoint:
        async with self.database.transaction() as session:
            row, _ = await event_endpoints.put(session, self.tenant, key, url, list(events or ("*",)), enabled=enabled)
        return row

    async def seen(self, key: str) -> EventEndpoint:
        async with self.database.transaction() as session:
            row = await event_endpoints.find(session, self.tenant, key)
        assert row is not None
        return row

    def secret_of(self, row: EventEndpoint) -> str:
        return event_endpoints.decrypt_secret(self.database.encryption, row)

    async def event(self) -> DatabaseSend:
        """Add an event of a notification that was just sent."""
        sent = await self.send()
        await sent.claim()
        await sent.answer(AttemptState.ACCEPTED)
        return sent

    async def post(self) -> None:
        """Post what is due, and wait until all posts have ended."""
        while await self.posts.post_due() == 0.0:
            await self.posts.drain()

    async def start(self) -> None:
        """Start the due posts that have a free slot, without waiting for their end."""
        while await self.posts.post_due() == 0.0:
            pass

    async def messages(self, key: str) -> list[dict[str, Any]]:
        """Return the messages, with the seconds to the next attempt as `wait`."""
        rows = await self.query(
            "SELECT m.*, extract(epoch FROM m.next_attempt_at - now())::float8 AS wait FROM event_message m"
            " JOIN event_endpoint p ON p.id = m.endpoint_id WHERE p.tenant = :tenant AND p.key = :key"
            " ORDER BY m.occurred_at, m.id",
            tenant=self.tenant,
            key=key,
        )
        return [row | {"attempts": decoded(row["attempts"])} for row in rows]

    async def message(self, key: str) -> dict[str, Any]:
        [message] = await self.messages(key)
        return message

    async def make_retries_due(self) -> None:
        """Make every next attempt due."""
        await self.query(
            "UPDATE event_message SET next_attempt_at = now() WHERE tenant = :tenant AND next_attempt_at IS NOT NULL",
            tenant=self.tenant,
        )

    async def move(self, key: str, column: str, ago: str) -> None:
        await self.query(
            f"UPDATE event_endpoint SET {column} = now() - CAST(:ago AS text)::interval"
            " WHERE tenant = :tenant AND key = :key",
            tenant=self.tenant,
            key=key,
            ago=ago,
        )


async def record_delivered(sent: DatabaseSend) -> None:
    """Record a receipt with `delivered`."""
    at = datetime.now(UTC)
    async with sent.database_tenant.database.transaction() as session:
        await amend(
            session, sent.ref, lambda ledger: record_receipt(ledger, sent.attempt(), Evidence.DELIVERED, at, at)
        )


@asynccontextmanager
async def open_webhook_tenant(
    database: Database, room: ConcurrencyLimits | None = None
) -> AsyncIterator[WebhookTenant]:
    async with outgoing_client() as client:
        posts = EventPoster(database, Transport(client), room)
        yield WebhookTenant(**vars(await open_database_tenant(database)), posts=posts)
