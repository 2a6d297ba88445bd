"""A person with everything that Tocsin may hold of one, as rows."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from domain.channels import DeviceKind
from domain.clock import now
from models.columns import new_id
from models.erasures import Erasure
from models.inbound_messages import InboundMessageRow
from models.inbox import InboxMessage
from models.multi_sends import MultiSend
from models.notification_types import NotificationTypeVersion
from models.notifications import Attempt, Delivery, Notification
from models.queue import QueueEntry
from models.receipts import Receipt
from models.recipients import TopicSubscriber
from models.sandbox import SandboxMessage
from models.schedules import Schedule, ScheduleOccurrence
from storage import devices, erasures, recipients
from storage.database import Database
from storage.devices import NewDevice

CANARY = "canary@example.com"


@dataclass(frozen=True, kw_only=True)
class StoredHistory:
    tenant: UUID
    recipient_id: str
    notification_id: UUID
    delivery_id: UUID
    attempt_id: UUID
    receipt_ids: tuple[UUID, ...]


async def new_recipient(database: Database, tenant: UUID, recipient_id: str = "ada") -> None:
    profile = {"contact": {"email": CANARY}, "attributes": {"name": CANARY}}
    async with database.transaction() as session:
        await recipients.replace_profile(session, tenant, recipient_id, profile)


async def recipient_with_history(
    database: Database, tenant: UUID, recipient_id: str = "ada", *, finished: bool = True
) -> StoredHistory:
    """One notification with a delivery, an attempt, a matched and an unmatched receipt, an inbox and a sandbox row."""
    await new_recipient(database, tenant, recipient_id)
    known = StoredHistory(
        tenant=tenant,
        recipient_id=recipient_id,
        notification_id=new_id(),
        delivery_id=uuid4(),
        attempt_id=uuid4(),
        receipt_ids=(uuid4(), uuid4()),
    )
    async with database.transaction() as session:
        device = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": f"{CANARY}-{recipient_id}"})
        await devices.save(session, tenant, recipient_id, device)
        kind = NotificationTypeVersion(tenant=tenant, key=f"type-{uuid4()}", version=1, spec={})
        session.add(kind)
        await session.flush()
        for rows in _history(known, kind, finished=finished):
            session.add_all(rows)
            await session.flush()
    return known


def _history(known: StoredHistory, kind: NotificationTypeVersion, *, finished: bool) -> list[list[Any]]:
    """Layer by layer, each pointing to the one before."""
    personal = {"quotes": CANARY}
    ours: dict[str, Any] = {"tenant": known.tenant, "notification_id": known.notification_id}
    notification = Notification(
        id=known.notification_id,
        tenant=known.tenant,
        recipient_id=known.recipient_id,
        notification_type=kind.key,
        type_id=kind.id,
        event_payload=personal,
        status="DELIVERED" if finished else "PENDING",
        priority=3,
        tags=[CANARY],
        idempotency_key=f"{CANARY}-{known.recipient_id}",
        holds_idempotency_key=True,
        finished_at=now() if finished else None,
    )
    delivery = Delivery(
        **ours,
        id=known.delivery_id,
        generation=1,
        step=0,
        channel="email",
        status="DELIVERED" if finished else "PENDING",
        rendered_content=personal,
        provider_response=personal,
    )
    attempt = Attempt(
        **ours,
        id=known.attempt_id,
        delivery_id=known.delivery_id,
        endpoint_id="email",
        number=1,
        provider="sandbox",
        state="accepted",
        provider_message_id=f"message-{known.attempt_id}",
        provider_response=personal,
    )
    entry = QueueEntry(
        notification_id=known.notification_id,
        generation=1,
        tenant=known.tenant,
        priority=3,
        state="started",
        started_at=now(),
    )
    open_ = [] if finished else [entry]
    return [[notification], [delivery, *open_], [attempt], [*_receipts(known), *_messages(known), *_subscribed(known)]]


def _subscribed(known: StoredHistory) -> list[Any]:
    """To a topic, and to what is sent to them alone every day."""
    ours: dict[str, Any] = {"tenant": known.tenant, "recipient_id": known.recipient_id}
    spec = {"recipient_id": known.recipient_id, "payload": {"quotes": CANARY}, "cron": "0 9 * * *", "timezone": "UTC"}
    schedule = Schedule(tenant=known.tenant, key=f"schedule-{uuid4()}", notification_type="report", spec=spec)
    turn = ScheduleOccurrence(**ours, schedule_id=schedule.id, notification_type="report", timezone="UTC")
    key = f"key-{CANARY}-{known.recipient_id}"
    sent = MultiSend(tenant=known.tenant, idempotency_key=key, idempotency_hash="", results=[], expires_at=now())
    return [sent, TopicSubscriber(**ours, topic="news"), schedule, turn]


def _receipts(known: StoredHistory) -> list[Receipt]:
    names: list[dict[str, Any]] = [
        {"attempt_id": known.attempt_id},
        {"provider_message_id": f"message-{known.attempt_id}"},
    ]
    return [
        Receipt(id=id, provider="sandbox", kind="delivered", raw={"email": CANARY}, **name)
        for id, name in zip(known.receipt_ids, names, strict=True)
    ]


def _messages(known: StoredHistory) -> list[Any]:
    ours: dict[str, Any] = {
        "tenant": known.tenant,
        "notification_id": known.notification_id,
        "recipient_id": known.recipient_id,
    }
    content = {"subject": "Hello", "text": CANARY}
    inbox = InboxMessage(**ours, id=uuid4(), content=content)
    sandbox = SandboxMessage(
        **ours,
        delivery_id=known.delivery_id,
        attempt_id=known.attempt_id,
        endpoint_id="email",
        channel="email",
        address={"email": CANARY},
        content=content,
    )
    inbound = InboundMessageRow(
        id=new_id(),
        tenant=known.tenant,
        provider="twilio",
        address_hash="",
        from_number="+447700900123",
        to_number="+447700900001",
        text=CANARY,
        recipient_ids=["eve", known.recipient_id],
    )
    return [inbox, sandbox, inbound]


async def erase(database: Database, known: StoredHistory) -> Erasure:
    async with database.transaction() as session:
        erasure = await erasures.erase_at_once(session, known.tenant, known.recipient_id)
    assert erasure is not None
    return erasure


async def notification(database: Database, known: StoredHistory) -> Any:
    statement = text("SELECT * FROM notification WHERE id = :id")
    async with database.transaction() as session:
        return (await session.execute(statement, {"id": known.notification_id})).mappings().one()
