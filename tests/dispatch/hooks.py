"""A tenant with event endpoints, and a poster that posts when the test says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dispatch.event_posts import EventPosts
from domain.evidence import AttemptState, Evidence
from domain.ledger import record_receipt
from models.event_webhooks import EventEndpoint
from providers.transport import Transport, outgoing_client
from storage import event_endpoints
from storage.database import Database
from storage.event_posting import Room
from storage.ledgers import amend
from storage.rows import decoded
from tests.storage.sends import Desk, Sent, open_desk


@dataclass(frozen=True, kw_only=True)
class Hooks:
    desk: Desk
    posts: EventPosts

    async def endpoint(self, key: str, url: str, *events: str, enabled: bool = True) -> EventEndpoint:
        async with self.desk.database.transaction() as session:
            row, _ = await event_endpoints.put(
                session, self.desk.tenant, key, url, list(events or ("*",)), enabled=enabled
            )
        return row

    async def seen(self, key: str) -> EventEndpoint:
        async with self.desk.database.transaction() as session:
            row = await event_endpoints.find(session, self.desk.tenant, key)
        assert row is not None
        return row

    def secret_of(self, row: EventEndpoint) -> str:
        return event_endpoints.secret_of(self.desk.database.encryption, row)

    async def event(self) -> Sent:
        """A notification that was just sent."""
        sent = await self.desk.send()
        await sent.claim()
        await sent.answer(AttemptState.ACCEPTED)
        return sent

    async def post(self) -> None:
        """What is due, until all of it has landed."""
        while await self.posts.post_due() == 0.0:
            await self.posts.landed()

    async def start(self) -> None:
        """What is due and has room; it may land later."""
        while await self.posts.post_due() == 0.0:
            pass

    async def messages(self, key: str) -> list[dict[str, Any]]:
        """With `wait`, the seconds to the next try."""
        rows = await self.desk.query(
            "SELECT m.*, extract(epoch FROM m.next_try_at - now())::float8 AS wait FROM event_message m"
            " JOIN event_endpoint p ON p.id = m.endpoint_id WHERE p.tenant = :tenant AND p.key = :key"
            " ORDER BY m.occurred_at, m.id",
            tenant=self.desk.tenant,
            key=key,
        )
        return [row | {"calls": decoded(row["calls"])} for row in rows]

    async def message(self, key: str) -> dict[str, Any]:
        [message] = await self.messages(key)
        return message

    async def now_is_the_time(self) -> None:
        """For every next try."""
        await self.desk.query(
            "UPDATE event_message SET next_try_at = now() WHERE tenant = :tenant AND next_try_at IS NOT NULL",
            tenant=self.desk.tenant,
        )

    async def move(self, key: str, column: str, ago: str) -> None:
        await self.desk.query(
            f"UPDATE event_endpoint SET {column} = now() - CAST(:ago AS text)::interval"
            " WHERE tenant = :tenant AND key = :key",
            tenant=self.desk.tenant,
            key=key,
            ago=ago,
        )


async def delivered(sent: Sent) -> None:
    """A receipt says so."""
    at = datetime.now(UTC)
    async with sent.desk.database.transaction() as session:
        await amend(
            session, sent.key, lambda ledger: record_receipt(ledger, sent.attempt(), Evidence.DELIVERED, at, at)
        )


@asynccontextmanager
async def open_hooks(database: Database, room: Room | None = None) -> AsyncIterator[Hooks]:
    async with outgoing_client() as client:
        yield Hooks(desk=await open_desk(database), posts=EventPosts(database, Transport(client), room))
