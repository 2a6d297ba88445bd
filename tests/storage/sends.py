"""Rows of a send as the engine writes them, step by step: accepted, planned, called. For tests of what comes next."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import CursorResult, text

from domain.channels import Channel
from domain.evidence import AttemptState
from domain.ledger import finish_notification, record_outcome
from domain.messages import DeliverInput
from domain.names import attempt_id, delivery_id
from domain.reasons import ChannelReason, Reason, failure_line, failures_to_json
from domain.records import Ledger
from models.columns import new_id
from models.notification_types import NotificationTypeVersion
from storage import dead_letters, recipients, tenants
from storage.acceptance import AcceptResult, NewNotification, accept
from storage.attempts import AttemptClaim, claim_attempt
from storage.database import Database
from storage.dead_letters import PlannedRedrive
from storage.deliveries import NewDelivery, insert_deliveries
from storage.ledgers import NotificationRef, amend, load

KEY = UUID(int=4)
CONTACT = {"email": "ada@example.com", "phone": "+447700900123"}


@dataclass(frozen=True, kw_only=True)
class DatabaseTenant:
    """One tenant with one type and one person; `send` and what follows write the rows."""

    database: Database
    tenant: UUID
    type_id: UUID
    recipient_id: str = "ada"
    contact: dict[str, str] = field(default_factory=lambda: dict(CONTACT))

    async def accept(self, *items: NewNotification) -> dict[UUID, AcceptResult]:
        async with self.database.transaction() as session:
            return await accept(session, self.tenant, list(items), notify=True)

    def new(self, recipient_id: str | None = None, **more: Any) -> NewNotification:
        fields: dict[str, Any] = {"id": new_id(), "event_payload": {}, "priority": 3, **more}
        return NewNotification(
            recipient_id=recipient_id or self.recipient_id,
            notification_type="order.shipped",
            type_id=self.type_id,
            **fields,
        )

    async def send(self, *channels: Channel, **more: Any) -> "DatabaseSend":
        """An accepted notification with a rendered delivery on each of the channels, in one step."""
        item = self.new(**more)
        await self.accept(item)
        sent = DatabaseSend(database_tenant=self, id=item.id, channels=channels or (Channel.EMAIL,))
        await sent.rendered()
        return sent

    async def put_recipient(self, recipient_id: str, **profile: Any) -> None:
        async with self.database.transaction() as session:
            await recipients.replace_profile(session, self.tenant, recipient_id, profile)

    async def query(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        async with self.database.transaction() as session:
            rows = cast(CursorResult[Any], await session.execute(text(statement), values))
            return [dict(row) for row in rows.mappings()] if rows.returns_rows else []


@dataclass(frozen=True, kw_only=True)
class DatabaseSend:
    database_tenant: DatabaseTenant
    id: UUID
    channels: tuple[Channel, ...]
    generation: int = 1

    @property
    def ref(self) -> NotificationRef:
        return NotificationRef(notification_id=self.id, tenant=self.database_tenant.tenant)

    def delivery(self, channel: Channel = Channel.EMAIL) -> UUID:
        return delivery_id(self.id, self.generation, 1, channel)

    def attempt(self, number: int = 1, channel: Channel = Channel.EMAIL) -> UUID:
        return attempt_id(self.delivery(channel), channel, number)

    def call(self, number: int = 1, channel: Channel = Channel.EMAIL, **more: Any) -> DeliverInput:
        fields: dict[str, Any] = {"provider": "sandbox", "finishes_notification": True, "endpoint_id": channel, **more}
        fields.setdefault("generation", self.generation)
        return DeliverInput(
            notification_id=self.id,
            tenant=self.database_tenant.tenant,
            delivery_id=self.delivery(channel),
            channel=channel,
            attempt_number=number,
            **fields,
        )

    async def rendered(self) -> None:
        """Writes the deliveries of this generation."""
        drafts = [
            NewDelivery(id=self.delivery(c), step=1, channel=c, rule="type.default", content={"subject": "Hi"})
            for c in self.channels
        ]
        async with self.database_tenant.database.transaction() as session:
            assert await insert_deliveries(session, self.id, self.database_tenant.tenant, self.generation, drafts)

    async def failed(self, state: AttemptState = AttemptState.NOT_ACCEPTED) -> "DatabaseSend":
        """The call was answered so and the notification has ended with that: FAILED, or IN_DOUBT."""
        await self.claim()
        await self.answer(state)
        async with self.database_tenant.database.transaction() as session:
            await amend(
                session,
                self.ref,
                lambda ledger: finish_notification(ledger, datetime.now(UTC), reason=Reason("retries_exhausted")),
            )
        return self

    async def fail(self, *reasons: ChannelReason) -> None:
        """Give the row these reasons."""
        await self.database_tenant.query(
            "UPDATE notification SET failure_reason = :text, failures = CAST(:failures AS jsonb) WHERE id = :id",
            **{"id": self.id, "text": failure_line(reasons), "failures": json.dumps(failures_to_json(reasons))},
        )

    async def redriven(self) -> "DatabaseSend":
        """Its next generation, with its deliveries."""
        async with self.database_tenant.database.transaction() as session:
            found = await dead_letters.lock_target(session, self.database_tenant.tenant, self.id)
            assert found is not None
            assert await dead_letters.redrive(
                session, self.database_tenant.tenant, [PlannedRedrive(target=found)], KEY
            ) == {self.id}
        again = replace(self, generation=self.generation + 1)
        await again.rendered()
        return again

    async def claim(self, number: int = 1, channel: Channel = Channel.EMAIL, **more: Any) -> AttemptClaim | None:
        async with self.database_tenant.database.transaction() as session:
            return await claim_attempt(session, self.call(number, channel, **more))

    async def answer(
        self,
        state: AttemptState,
        message_id: str | None = None,
        number: int = 1,
        channel: Channel = Channel.EMAIL,
    ) -> Ledger:
        """Records what the provider said of an attempt that was claimed."""
        ident = self.attempt(number, channel)

        def change(ledger: Ledger) -> Ledger:
            with_id = replace(ledger.attempts[ident], provider_message_id=message_id)
            return record_outcome(ledger, with_id, state, datetime.now(UTC))

        async with self.database_tenant.database.transaction() as session:
            return await amend(session, self.ref, change)

    async def ledger(self) -> Ledger:
        async with self.database_tenant.database.transaction() as session:
            found = await load(session, self.ref, lock=False)
        assert found is not None
        return found

    async def row(self) -> dict[str, Any]:
        [row] = await self.database_tenant.query("SELECT * FROM notification WHERE id = :id", id=self.id)
        return row

    async def entry(self) -> dict[str, Any] | None:
        """Its row in the queue."""
        rows = await self.database_tenant.query("SELECT * FROM queue_entry WHERE notification_id = :id", id=self.id)
        return rows[0] if rows else None

    async def rows(self, table: str) -> list[dict[str, Any]]:
        return await self.database_tenant.query(f"SELECT * FROM {table} WHERE notification_id = :id", id=self.id)

    async def attempt_states(self) -> list[tuple[int, str, str | None]]:
        """Return number, state and error type of each attempt."""
        return sorted((row["number"], row["state"], row["error_type"]) for row in await self.rows("attempt"))

    async def statuses(self) -> list[str]:
        """Of the notification, as its timeline tells them."""
        events = await self.database_tenant.query(
            "SELECT status FROM event WHERE notification_id = :id AND status IS NOT NULL ORDER BY position", id=self.id
        )
        return [event["status"] for event in events]


async def open_database_tenant(
    database: Database, contact: dict[str, str] | None = None, **spec: Any
) -> DatabaseTenant:
    tenant = await new_tenant(database)
    given = {"key": "order.shipped", "route": [{"channels": ["email"]}], "templates": {"email": "words"}, **spec}
    kind = NotificationTypeVersion(
        tenant=tenant, key=f"order.shipped-{uuid4()}", version=1, spec=json.loads(json.dumps(given))
    )
    database_tenant = DatabaseTenant(
        database=database, tenant=tenant, type_id=kind.id, contact=contact or dict(CONTACT)
    )
    async with database.transaction() as session:
        session.add(kind)
    await database_tenant.put_recipient(database_tenant.recipient_id, contact=database_tenant.contact)
    return database_tenant


async def new_tenant(database: Database) -> UUID:
    async with database.transaction() as session:
        return (await tenants.ensure_tenant(session, f"tenant-{uuid4()}", "Tenant")).id
