"""The write-ahead row of a provider call, and the facts the guard decides by, in one statement.

The statement locks the notification and the recipient's preferences: a cancel or an opt-out that was committed before
applies. If the guard stops the call, the caller rolls back and the row never existed.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.evidence import AttemptState
from domain.holds import DeliveryHold, HoldKind, pause_hold
from domain.json_types import JsonObject
from domain.messages import DeliverInput
from domain.names import attempt_id
from domain.notification_types import NotificationType, from_spec
from domain.preferences import RecipientPreferences
from domain.quiet_hours import QuietHours
from domain.rates import NO_RATE_LIMITS, ProviderRateLimits
from domain.records import AttemptRecord, Ledger
from domain.statuses import DeliveryStatus
from domain.suppressions import CONTACT_BY_CHANNEL
from storage.delivery_addresses import CallAddress, call_address
from storage.encryption import Encryption, encryption_of
from storage.ledger_rows import LEDGER_AGGREGATES, LEDGER_COLUMNS, ledger_of
from storage.ledgers import NotificationRef, load
from storage.provider_limits import LIMITS_COLUMN, limits_of
from storage.queue_entries import SET_STARTED, WAIT_IS_OVER
from storage.recipient_contexts import SUPPRESSION_IN_FORCE, preferences_of, quiet_hours_of
from storage.recipients import IS_BEING_ERASED
from storage.rows import decoded
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptClaim:
    """Describe the claimed attempt and the facts for the guard.

    `is_new` False: the row existed already, since `started_at`. `same_address`: the recipient still has the address of
    that call. `suppressed` is the reason of a suppression of the address. `hold`: the provider, channel or type is
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
    content: JsonObject
    suppressed: str | None
    hold: DeliveryHold | None
    started_at: datetime | None
    is_same_address: bool
    limits: ProviderRateLimits
    predates_restore: bool
    phone_regions: list[str] | None

    @property
    def waited(self) -> timedelta:
        return self.now - max(self.created_at, self.send_at or self.created_at)


# Read holds and suppressions again if the locked rows are newer than the snapshot of the statement, or if the statement
# took so many milliseconds: it may have waited for a transaction that changed none of the locked rows.
LOCK_WAIT_MS = 50
GATE_COLUMNS = f"""
       (SELECT jsonb_build_array(h.id, h.kind, h.name) FROM hold h
         WHERE (h.tenant IS NULL OR h.tenant = n.tenant) AND h.name = CASE h.kind
               WHEN 'provider' THEN :provider WHEN 'channel' THEN d.channel
               WHEN 'tenant' THEN h.name ELSE n.notification_type END
         ORDER BY h.id LIMIT 1) AS hold,
       (SELECT s.reason FROM suppression s WHERE {SUPPRESSION_IN_FORCE} AND s.tenant = n.tenant
       AND s.channel = d.channel
           AND s.address_hash IN ({{keys}}.address_hashes->>'email', {{keys}}.address_hashes->>'phone')
         LIMIT 1) AS suppressed
""".strip()  # noqa: S608 - constants of our own
RELOAD_GATES = text(f"""
SELECT {GATE_COLUMNS.format(keys="r")}
  FROM notification n JOIN delivery d ON d.id = :delivery_id
  JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id
 WHERE n.id = :id AND n.tenant = :tenant
""")  # noqa: S608

# Until an attempt for this endpoint has ended after the restore; what was redriven since then is a send of its own.
RESTORE_COLUMNS = """
       CASE WHEN n.id < e.restored_before THEN COALESCE(n.send_at <= e.restored_at, true)
         AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.delivery_id = :delivery_id AND a.endpoint_id = :endpoint_id
                            AND a.finished_at > e.restored_at)
         AND NOT EXISTS (SELECT 1 FROM event v WHERE v.notification_id = n.id AND v.kind = 'redriven'
                            AND v.at > e.restored_at)
       ELSE false END AS predates_restore,
       LEAST(n.created_at, e.restored_at - interval '1 day' * (n.created_at > e.restored_at)::int) AS sent_since
""".strip()

CLAIM_ATTEMPT = text(f"""
WITH target AS (
  SELECT n.id, n.revision, n.xmin AS n_version, p.xmin AS p_version,
         n.recipient_id, n.type_id, t.spec, r.contact, r.address_hashes, p.global_channel_opt_in,
         p.type_channel_preferences, p.quiet_hours, COALESCE(r.timezone, o.timezone) AS timezone, o.phone_regions,
         {RESTORE_COLUMNS}
    FROM notification n
    LEFT JOIN engine_state e ON e.id = 1
    JOIN tenant o ON o.id = n.tenant
    JOIN notification_type t ON t.id = n.type_id
    JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id AND NOT {IS_BEING_ERASED}
    JOIN user_preference p ON p.tenant = n.tenant AND p.user_id = n.recipient_id
   WHERE n.id = :id AND n.tenant = :tenant AND n.generation = :generation AND n.digest_key IS NULL
     FOR UPDATE OF n FOR SHARE OF p
), claimed AS (
  INSERT INTO attempt (id, tenant, notification_id, delivery_id, endpoint_id, address_hash, number, provider, state,
         started_at)
  SELECT :attempt_id, :tenant, target.id, :delivery_id, :endpoint_id, target.address_hashes->>CAST(:contact AS text),
         :number, :provider, 'submitting',
         CASE WHEN target.predates_restore THEN target.sent_since ELSE clock_timestamp() END
    FROM target
  ON CONFLICT (id) DO NOTHING RETURNING id
), sending AS (
  UPDATE delivery SET status = CASE WHEN status = 'PENDING' THEN 'SENDING' ELSE status END, held_at = NULL,
         held_priority = NULL, held_providers = NULL, hold_key = NULL, release_expires_at = NULL
    FROM claimed WHERE delivery.id = :delivery_id AND (status = 'PENDING' OR held_at IS NOT NULL)
), moved AS (
  UPDATE notification SET revision = revision + 1 FROM claimed WHERE notification.id = :id
), under_way AS (
  UPDATE queue_entry q SET {SET_STARTED} FROM claimed
   WHERE q.notification_id = :id AND q.generation = :generation AND {WAIT_IS_OVER}
)
SELECT {LEDGER_COLUMNS}, {LEDGER_AGGREGATES}, target.recipient_id, target.type_id, target.spec, target.contact,
       target.global_channel_opt_in, target.type_channel_preferences, target.quiet_hours, target.timezone,
       target.phone_regions,
       claimed.id IS NOT NULL AS is_new, target.predates_restore,
       target.revision AS locked_revision, clock_timestamp() AS now, n.created_at, n.send_at, n.priority, n.tags,
       d.rendered_content,
       (SELECT jsonb_build_object('kind', v.kind, 'device', v.device, 'address', v.address) FROM device v
         WHERE v.tenant = n.tenant AND v.recipient_id = n.recipient_id AND v.id::text = :endpoint_id) AS device,
       {GATE_COLUMNS.format(keys="target")},
       (n.xmin <> target.n_version OR before.xmin <> target.p_version
        OR clock_timestamp() - now() > interval '{LOCK_WAIT_MS} milliseconds') AS moved, {LIMITS_COLUMN} AS limits,
       earlier.started_at,
       earlier.address_hash IS NOT DISTINCT FROM target.address_hashes->>CAST(:contact AS text) AS same_address
  FROM target
  JOIN notification n ON n.id = target.id
  JOIN user_preference before ON before.tenant = n.tenant AND before.user_id = n.recipient_id
  JOIN delivery d ON d.id = :delivery_id AND d.notification_id = n.id
  LEFT JOIN claimed ON true
  LEFT JOIN attempt earlier ON earlier.id = :attempt_id
""")  # noqa: S608 - constants of our own


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
    return _add_attempt(ledger, call, attempt_uuid) if row["is_new"] else ledger


def _build_claim(
    row: dict[str, Any], ledger: Ledger, attempt_uuid: UUID, call: DeliverInput, encryption: Encryption
) -> AttemptClaim:
    return AttemptClaim(
        is_new=row["is_new"],
        attempt=ledger.attempts[attempt_uuid],
        ledger=ledger,
        now=row["now"],
        created_at=row["created_at"],
        send_at=row["send_at"],
        priority=row["priority"],
        tags=tuple(row["tags"]),
        notification_type=from_spec(row["type_id"], decoded(row["spec"])),
        recipient_id=row["recipient_id"],
        preferences=preferences_of(row),
        quiet_hours=quiet_hours_of(row),
        timezone=row["timezone"],
        address=call_address(encryption, call, row),
        content=decoded(row["rendered_content"]) or {},
        suppressed=row["suppressed"],
        hold=_hold_of(decoded(row["hold"])),
        started_at=row["started_at"],
        is_same_address=row["same_address"],
        limits=limits_of(row["limits"]).get(call.provider, NO_RATE_LIMITS),
        predates_restore=row["predates_restore"],
        phone_regions=row["phone_regions"],
    )


def _add_attempt(ledger: Ledger, call: DeliverInput, attempt_uuid: UUID) -> Ledger:
    """The ledger as the statement left it: it read the rows before it wrote."""
    attempt = AttemptRecord(
        id=attempt_uuid,
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
        attempts={**ledger.attempts, attempt_uuid: attempt},
        deliveries={**ledger.deliveries, delivery.id: delivery},
    )


def _hold_of(hold: Any) -> DeliveryHold | None:
    return None if hold is None else pause_hold(UUID(hold[0]), HoldKind(hold[1]), hold[2])
