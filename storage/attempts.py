"""Claim an attempt: its write-ahead row and what the guard decides by, in one statement; and the address of the call.

The statement locks the notification and the recipient's preferences: a cancel or an opt-out that was committed before
applies. If the guard stops the call, the caller rolls back and the row never existed."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.evidence import AttemptState
from domain.holds import DeliveryHold, HoldKind, pause_hold
from domain.json_types import Json
from domain.messages import DeliverInput
from domain.names import attempt_id, derived_id
from domain.notification_types import NotificationType, from_spec
from domain.preferences import RecipientPreferences
from domain.quiet_hours import QuietHours
from domain.rates import NO_RATE_LIMITS, ProviderRateLimits
from domain.records import AttemptRecord, Ledger
from domain.statuses import DeliveryStatus
from domain.suppressions import CONTACT_BY_CHANNEL
from storage.call_addresses import CallAddress, call_address
from storage.email_settings import EmailSettings, email_settings_of
from storage.encryption import Encryption, encryption_of
from storage.ledgers import NotificationRef, ledger_of, load
from storage.preferences import preferences_of, quiet_hours_of
from storage.provider_health import limits_of
from storage.statements import Executor, decoded, statement

NOT_DECRYPTED = "not_decrypted"

INSERT_SKIPPED_EVENT = statement("attempts/insert_skipped_event")


async def record_skipped_device(session: Executor, call: DeliverInput) -> None:
    """Write into the timeline that the device's address cannot be decrypted. Idempotent."""
    values = {
        "event_id": derived_id("event", call.delivery_id, call.endpoint_id, NOT_DECRYPTED),
        "tenant": call.tenant,
        "notification_id": call.notification_id,
        "channel": call.channel,
        "reason": NOT_DECRYPTED,
        "device": call.endpoint_id,
        "delivery_id": call.delivery_id,
    }
    await session.execute(INSERT_SKIPPED_EVENT, values)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptClaim:
    """Describe the claimed attempt and the facts for the guard.

    `is_new` False: the row existed already, since `started_at`. `is_same_address`: the recipient still has the address
    of that call. `suppressed` is the reason of a suppression of the address. `hold`: the provider, channel or type is
    paused. `limits` are the provider's rates that operators have set. `predates_restore`: the call may have been made
    before a restore of the database. `address` is encrypted if the key of its secret is missing."""

    is_new: bool
    attempt: AttemptRecord
    ledger: Ledger
    now: datetime
    created_at: datetime
    send_at: datetime | None
    priority: int
    tags: tuple[str, ...]
    notification_type: NotificationType
    recipient_id: str
    preferences: RecipientPreferences
    quiet_hours: QuietHours | None
    timezone: str
    address: CallAddress
    content: Json
    suppressed: str | None
    hold: DeliveryHold | None
    started_at: datetime | None
    is_same_address: bool
    limits: ProviderRateLimits
    predates_restore: bool
    phone_regions: list[str] | None
    email: EmailSettings

    @property
    def waited(self) -> timedelta:
        return self.now - max(self.created_at, self.send_at or self.created_at)


# Read holds and suppressions again if the locked rows are newer than the snapshot of the statement, or if the statement
# took so many milliseconds: it may have waited for a transaction that changed none of the locked rows.
LOCK_WAIT_MS = 50
RELOAD_GATES = statement("attempts/reload_gates")


CLAIM_ATTEMPT = statement("attempts/claim_attempt")


async def claim_attempt(session: Executor, call: DeliverInput) -> AttemptClaim | None:
    """Insert or read the attempt. Return None for another generation or an erased recipient.

    A statement that waited for a lock is followed by a second one, because its snapshot is older than the commit of the
    other transaction."""
    attempt_uuid = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
    values = {
        "id": call.notification_id,
        "tenant": call.tenant,
        "generation": call.generation,
        "attempt_id": attempt_uuid,
        "delivery_id": call.delivery_id,
        "endpoint_id": call.endpoint_id,
        "contact": CONTACT_BY_CHANNEL.get(call.channel),
        "number": call.attempt_number,
        "provider": call.provider,
    }
    found = (await session.execute(CLAIM_ATTEMPT, values)).mappings().one_or_none()
    if found is None:
        return None
    row = dict(found)
    if row["moved"]:
        row |= dict((await session.execute(RELOAD_GATES, values)).mappings().one())
    ledger = None
    if row["locked_revision"] != row["revision"]:
        ledger = await load(
            session, NotificationRef(notification_id=call.notification_id, tenant=call.tenant), lock=False
        )
    return _build_claim(
        row, ledger or _ledger_after_claim(row, call, attempt_uuid), attempt_uuid, call, encryption_of(session)
    )


def _ledger_after_claim(row: dict[str, Any], call: DeliverInput, attempt_uuid: UUID) -> Ledger:
    ledger = ledger_of(row)
    return _add_attempt(ledger, call, attempt_uuid, row["claimed_at"]) if row["is_new"] else ledger


def _build_claim(
    row: dict[str, Any], ledger: Ledger, attempt_uuid: UUID, call: DeliverInput, encryption: Encryption
) -> AttemptClaim:
    notification_type = from_spec(row["type_id"], decoded(row["spec"]))
    return AttemptClaim(
        is_new=row["is_new"],
        attempt=ledger.attempts[attempt_uuid],
        ledger=ledger,
        now=row["now"],
        created_at=row["created_at"],
        send_at=row["send_at"],
        priority=row["priority"],
        tags=tuple(row["tags"]),
        notification_type=notification_type,
        recipient_id=row["recipient_id"],
        preferences=preferences_of(row),
        quiet_hours=quiet_hours_of(row),
        timezone=row["timezone"],
        address=call_address(encryption, call, row, notification_type.room_of(call.channel)),
        content=decoded(row["rendered_content"]) or {},
        suppressed=row["suppressed"],
        hold=_hold_of(decoded(row["hold"])),
        started_at=row["started_at"],
        is_same_address=row["same_address"],
        limits=limits_of(row["limits"]).get(call.provider, NO_RATE_LIMITS),
        predates_restore=row["predates_restore"],
        phone_regions=row["phone_regions"],
        email=email_settings_of(row),
    )


def _add_attempt(ledger: Ledger, call: DeliverInput, attempt_uuid: UUID, started_at: datetime) -> Ledger:
    """Return the ledger after the statement, which read the rows before it wrote."""
    attempt = AttemptRecord(
        id=attempt_uuid,
        delivery_id=call.delivery_id,
        endpoint_id=call.endpoint_id,
        number=call.attempt_number,
        provider=call.provider,
        state=AttemptState.SUBMITTING,
        started_at=started_at,
    )
    delivery = ledger.deliveries[call.delivery_id]
    if delivery.status is DeliveryStatus.PENDING:
        delivery = replace(delivery, status=DeliveryStatus.SENDING)
    return replace(
        ledger,
        revision=ledger.revision + 1,
        attempts={**ledger.attempts, attempt_uuid: attempt},
        deliveries={**ledger.deliveries, delivery.id: delivery},
    )


def _hold_of(hold: Any) -> DeliveryHold | None:
    return None if hold is None else pause_hold(UUID(hold[0]), HoldKind(hold[1]), hold[2])


LOCK_MESSAGE = text("SELECT pg_advisory_xact_lock(hashtextextended(:provider || ' ' || :message, 0))")
IS_MESSAGE_TAKEN = text("""
SELECT true FROM attempt WHERE provider = :provider AND provider_message_id = :message AND id <> :id LIMIT 1
""")
# A call with the same content to the same address that has no outcome yet. A call older than an hour does not count,
HAS_CONCURRENT_CALL = statement("attempts/has_concurrent_call")


async def claim_message(session: Executor, attempt: AttemptRecord, message: str) -> bool:
    """Return whether the vendor's message may belong to this attempt: False if another attempt has it. Of two
    concurrent calls the second waits until the first has committed."""
    values = {"provider": attempt.provider, "message": message}
    await session.execute(LOCK_MESSAGE, values)
    return (await session.execute(IS_MESSAGE_TAKEN, {**values, "id": attempt.id})).scalar_one_or_none() is None


async def has_concurrent_call(session: Executor, attempt: AttemptRecord) -> bool:
    """Return whether a call is in flight whose message may be mistaken for this attempt's: its id is not known yet."""
    return (await session.execute(HAS_CONCURRENT_CALL, {"id": attempt.id})).scalar_one_or_none() is not None
