"""Store the messages of the sandbox in Postgres, so that they survive kills and an erasure covers them, and list them
with inbox rows for the outbox, in dev only.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel
from domain.chat_urls import chat_service_of
from domain.cursors import Cursor
from domain.email_options import EmailOptions
from domain.evidence import ReceiptKind
from domain.json_types import Json
from domain.names import SANDBOX_CHANNEL
from domain.outgoing_messages import OutgoingMessage
from models.columns import new_id
from storage.database import Database, to_json
from storage.encryption import Encryption, SecretOwner, encryption_of
from storage.statements import Executor, decoded, statement

INSERT_CALL = statement("sandbox/insert_call")
ACCEPT_MESSAGE = statement("sandbox/accept_message")
SELECT_MESSAGES = statement("sandbox/select_messages")
# A lease: a process posts its claimed receipts within 5 s, or another one claims them.
CLAIM_DUE = statement("sandbox/claim_due")
SELECT_NEXT_DUE = text("SELECT extract(epoch FROM min(due_at) - now()) FROM sandbox_receipt WHERE posted_at IS NULL")
SELECT_PAGE = statement("sandbox/select_page")


class PostgresSandboxStore:
    """Write each entry in its own transaction, so that the vendor's log does not roll back with ours."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count_call(self, message: OutgoingMessage) -> int:
        values = {name: getattr(message, name) for name in ("attempt_id", "delivery_id", "endpoint_id")}
        async with self._database.statement() as session:
            return int((await session.execute(INSERT_CALL, {"id": new_id(), **values})).scalar_one())

    async def accept(
        self, message: OutgoingMessage, receipts: list[tuple[ReceiptKind, timedelta]], *, is_call: bool
    ) -> UUID:
        new_message_id = new_id()
        plain = ("attempt_id", "delivery_id", "notification_id", "tenant", "recipient_id", "channel", "endpoint_id")
        values: Json = {name: getattr(message, name) for name in plain}
        due = [{"kind": kind, "after": after.total_seconds()} for kind, after in receipts]
        address = self._database.encryption.encrypt_members(
            message.address, secret_owner_of(message.tenant, new_message_id)
        )
        content_values = {
            "address": to_json(address),
            "content": to_json(message.content),
            "email_options": to_json(_shown_options(message.email)) if message.channel is Channel.EMAIL else None,
        }
        values |= {"receipts": to_json(due), "is_call": is_call, "listener": SANDBOX_CHANNEL}
        async with self._database.statement() as session:
            await session.execute(ACCEPT_MESSAGE, {"id": new_message_id, **values, **content_values})
        return new_message_id

    async def find(self, message: OutgoingMessage) -> list[UUID]:
        values = {name: getattr(message, name) for name in ("tenant", "recipient_id", "attempt_id")}
        async with self._database.transaction() as session:
            return list((await session.execute(SELECT_MESSAGES, values)).scalars())


def _shown_options(options: EmailOptions) -> Json:
    """Return the options without the contents of attachments and the link to unsubscribe, which is a secret."""
    return {
        "sender": asdict(options.sender) if options.sender else None,
        "reply_to": asdict(options.reply_to) if options.reply_to else None,
        "cc": list(options.cc),
        "bcc": list(options.bcc),
        "headers": dict(options.headers),
        "attachments": [
            {"name": each.name, "content_type": each.content_type, "size": len(each.content)}
            for each in options.attachments
        ],
    }


def secret_owner_of(tenant: UUID, id: UUID) -> SecretOwner:
    return SecretOwner(table="sandbox_message", tenant=tenant, id=str(id))


@dataclass(frozen=True, kw_only=True, slots=True)
class DueReceipt:
    id: UUID
    message_id: UUID
    attempt_id: UUID
    kind: str
    at: datetime


async def claim_due_receipts(session: Executor, limit: int) -> list[DueReceipt]:
    return [DueReceipt(**row) for row in (await session.execute(CLAIM_DUE, {"limit": limit})).mappings()]


async def seconds_to_next(session: Executor) -> float | None:
    value = (await session.execute(SELECT_NEXT_DUE)).scalar_one()
    return None if value is None else max(0.0, float(value))


async def mark_posted(session: Executor, ids: list[UUID]) -> None:
    await session.execute(text("UPDATE sandbox_receipt SET posted_at = now() WHERE id = ANY(:ids)"), {"ids": ids})


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxEntry:
    """`generation` completes the id of the workflow that sent it. `email` has the options of an email."""

    id: UUID
    channel: str
    recipient_id: str
    notification_id: UUID
    generation: int
    address: Json
    content: Json
    email: Json | None
    accepted_at: datetime


async def list_page(
    session: AsyncSession,
    tenant: UUID | None,
    *,
    recipient_id: str | None = None,
    channel: str | None = None,
    limit: int,
    before: Cursor | None = None,
) -> list[OutboxEntry]:
    """Newest first. Without a tenant those of all: for the page on a developer's own machine and nothing else."""
    at, id = before or (None, None)
    values = {"tenant": tenant, "recipient_id": recipient_id, "channel": channel, "limit": limit, "at": at, "id": id}
    encryption = encryption_of(session)
    return [_entry_of(encryption, dict(row)) for row in (await session.execute(SELECT_PAGE, values)).mappings()]


def _entry_of(encryption: Encryption, row: Json) -> OutboxEntry:
    owner = secret_owner_of(row.pop("tenant"), row["id"])
    address = encryption.readable_members(decoded(row["address"]), owner)
    if row["channel"] == Channel.CHAT:  # the URL is never shown
        address = {"service": chat_service_of(address.get("url"))}
    decoded_values = {name: decoded(row[name]) for name in ("content", "email")}
    return OutboxEntry(**{**row, "address": address, **decoded_values})
