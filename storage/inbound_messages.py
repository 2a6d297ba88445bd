"""Store the messages of recipients for the tenants that they concern, list them, and claim the answers to keywords."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.clock import now
from domain.cursors import first_id_at
from domain.event_webhooks import MESSAGE_RECEIVED
from domain.inbound_messages import InboundMessage, Keyword
from domain.names import EVENTS_CHANNEL
from models.columns import new_id
from storage.statements import Executor, notify, statement
from storage.suppressions import lock_owners

# A tenant that has sent to the number within this time gets its messages.
CONVERSATION = timedelta(days=30)
# Two programs that answer each other stop here.
MAX_ANSWERS_PER_DAY = 3
# After an outage an answer is of no use any more.
ANSWER_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredInboundMessage:
    id: UUID
    provider: str
    provider_message_id: str | None
    from_number: str = field(repr=False)
    to_number: str
    text: str = field(repr=False)
    keyword: str | None
    recipient_ids: list[str]
    received_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DueAnswer:
    id: UUID
    provider: str
    from_number: str = field(repr=False)
    to_number: str
    keyword: Keyword


INSERT = statement("inbound_messages/insert")
SELECT_PAGE = statement("inbound_messages/select_page")
CLAIM_ANSWERS = statement("inbound_messages/claim_answers")


async def store(session: AsyncSession, provider: str, message: InboundMessage, *, needs_answer: bool) -> int:
    """Store the message and its events. Return the number of tenants that it concerns."""
    owners = await lock_owners(session, message.from_number)
    values = {
        **{name: getattr(message, name) for name in ("provider_message_id", "from_number", "to_number", "text")},
        **{"ids": [new_id() for _ in owners], "tenants": list(owners), "keys": list(owners.values())},
        "provider": provider,
        "keyword": message.keyword,
        "since": first_id_at(now() - CONVERSATION),
        "kind": MESSAGE_RECEIVED,
        "needs_answer": needs_answer,
        "max_answers": MAX_ANSWERS_PER_DAY,
        "answer_within": ANSWER_WITHIN.total_seconds(),
    }
    stored: int = (await session.execute(INSERT, values)).scalar_one()
    await notify(session, EVENTS_CHANNEL)
    return stored


async def list_page(
    session: AsyncSession, tenant: UUID, recipient_id: str | None, *, before: UUID | None, limit: int
) -> list[StoredInboundMessage]:
    """Newest first."""
    values = {"tenant": tenant, "recipient_id": recipient_id, "before": before, "limit": limit}
    return [StoredInboundMessage(**row) for row in (await session.execute(SELECT_PAGE, values)).mappings()]


async def claim_answers(session: Executor, limit: int) -> list[DueAnswer]:
    """Claim answers that are due. Nothing repeats them."""
    rows = (await session.execute(CLAIM_ANSWERS, {"limit": limit})).mappings()
    return [DueAnswer(**{**row, "keyword": Keyword(row["keyword"])}) for row in rows]
