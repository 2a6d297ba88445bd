"""The write-ahead row of a provider call, and the facts the guard decides by, in one statement.

The notification and the person's preferences are locked: whoever commits a cancel or an opt-out first is obeyed.
If the guard says no, the caller rolls back and the row was never there.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.evidence import AttemptState
from domain.messages import DeliverInput
from domain.names import attempt_id
from domain.notification_types import NotificationType, from_spec
from domain.preferences import Preferences
from domain.records import Attempt, Ledger
from domain.statuses import DeliveryStatus
from storage.audiences import preferences_of
from storage.ledgers import AGGREGATES, COLUMNS, Key, ledger_of, load
from storage.rows import decoded
from storage.sealing import Json, unseal


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """`fresh` False: this attempt's row was there already."""

    fresh: bool
    attempt: Attempt
    ledger: Ledger
    now: datetime
    created_at: datetime
    kind: NotificationType
    recipient_id: str
    preferences: Preferences
    contact: Json
    device: Json | None
    content: Json


CLAIM = text(f"""
WITH target AS (
  SELECT n.id, n.revision, n.recipient_id, n.type_id, t.spec, r.contact, p.global_channel_opt_in,
         p.type_channel_preferences
    FROM notification n
    JOIN notification_type t ON t.id = n.type_id
    JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id
    JOIN user_preference p ON p.tenant = n.tenant AND p.user_id = n.recipient_id
   WHERE n.id = :id AND n.tenant = :tenant AND n.generation = :generation
     FOR UPDATE OF n FOR SHARE OF p
), claimed AS (
  INSERT INTO attempt (id, tenant, notification_id, delivery_id, endpoint_id, number, provider, state, started_at)
  SELECT :attempt_id, :tenant, target.id, :delivery_id, :endpoint_id, :number, :provider, 'submitting',
         clock_timestamp() FROM target
  ON CONFLICT (id) DO NOTHING RETURNING id
), sending AS (
  UPDATE delivery SET status = 'SENDING' FROM claimed WHERE delivery.id = :delivery_id AND status = 'PENDING'
), moved AS (
  UPDATE notification SET revision = revision + 1 FROM claimed WHERE notification.id = :id
)
SELECT {COLUMNS}, {AGGREGATES}, target.recipient_id, target.type_id, target.spec, target.contact,
       target.global_channel_opt_in, target.type_channel_preferences, claimed.id IS NOT NULL AS fresh,
       target.revision AS locked_revision, clock_timestamp() AS now, n.created_at, d.rendered_content,
       (SELECT jsonb_build_object('kind', v.kind, 'address', v.address) FROM device v
         WHERE v.tenant = n.tenant AND v.recipient_id = n.recipient_id AND v.id::text = :endpoint_id) AS device
  FROM target
  JOIN notification n ON n.id = target.id
  JOIN delivery d ON d.id = :delivery_id AND d.notification_id = n.id
  LEFT JOIN claimed ON true
""")  # noqa: S608 - constants of our own


async def claim_attempt(session: AsyncSession, call: DeliverInput) -> Claim | None:
    """None if the notification is of another generation, or the person is gone. Two statements if somebody else had
    the lock: then the rest of the first one shows the rows as they were before the other's commit."""
    ident = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
    values = {
        "id": call.notification_id,
        "tenant": call.tenant,
        "generation": call.generation,
        "attempt_id": ident,
        "delivery_id": call.delivery_id,
        "endpoint_id": call.endpoint_id,
        "number": call.attempt_number,
        "provider": call.provider,
    }
    row = (await session.execute(CLAIM, values)).mappings().one_or_none()
    if row is None:
        return None
    ledger = None
    if row["locked_revision"] != row["revision"]:
        ledger = await load(session, Key(notification_id=call.notification_id, tenant=call.tenant), lock=False)
    return _claim(dict(row), ledger or _ledger(dict(row), call, ident), ident)


def _ledger(row: dict[str, Any], call: DeliverInput, ident: UUID) -> Ledger:
    ledger = ledger_of(row)
    return _with_call(ledger, call, ident) if row["fresh"] else ledger


def _claim(row: dict[str, Any], ledger: Ledger, ident: UUID) -> Claim:
    return Claim(
        fresh=row["fresh"],
        attempt=ledger.attempts[ident],
        ledger=ledger,
        now=row["now"],
        created_at=row["created_at"],
        kind=from_spec(row["type_id"], decoded(row["spec"])),
        recipient_id=row["recipient_id"],
        preferences=preferences_of(row),
        contact=unseal(decoded(row["contact"])),
        device=_device(row["device"]),
        content=unseal(decoded(row["rendered_content"]) or {}),
    )


def _with_call(ledger: Ledger, call: DeliverInput, ident: UUID) -> Ledger:
    """The ledger as the statement left it: it read the rows before it wrote."""
    attempt = Attempt(
        id=ident,
        delivery_id=call.delivery_id,
        endpoint_id=call.endpoint_id,
        number=call.attempt_number,
        provider=call.provider,
        state=AttemptState.SUBMITTING,
    )
    delivery = ledger.deliveries[call.delivery_id]
    if delivery.status is DeliveryStatus.PENDING:
        delivery = replace(delivery, status=DeliveryStatus.SENDING)
    return replace(
        ledger,
        revision=ledger.revision + 1,
        attempts={**ledger.attempts, ident: attempt},
        deliveries={**ledger.deliveries, delivery.id: delivery},
    )


def _device(value: Any) -> Json | None:
    device = decoded(value)
    return None if device is None else {"kind": device["kind"], **unseal(device["address"])}
