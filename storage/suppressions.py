"""Maintain the suppression list. Evidence and operators add entries; operators and opt-ins lift them.

Locks are taken in one order: the recipient, the list, then a notification.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel
from domain.json_types import JsonObject
from domain.suppressions import (
    CONTACT_BY_CHANNEL,
    GROUP_PREFIX,
    SuppressionFinding,
    SuppressionReason,
    suppression_source,
)
from models.columns import new_id
from storage.database import to_json
from storage.ledgers import NotificationRef
from storage.recipient_contexts import SUPPRESSION_IN_FORCE
from storage.rows import decoded
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSuppression:
    """`address` is `{email}` or `{phone}`; None if only its key is known."""

    channel: Channel
    address_hash: str
    address: JsonObject | None
    reason: SuppressionReason
    source: str
    notification_id: UUID | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressionEntry:
    """Describe an entry. `address` None: its recipient was erased or has another address."""

    id: UUID
    channel: Channel
    address: str | None
    reason: SuppressionReason
    source: str
    notification_id: UUID | None
    created_at: datetime
    expires_at: datetime | None
    lifted_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressionFilter:
    """`keys` are those of one address; `ended` asks for what was lifted or has run out, and for that alone."""

    channel: Channel | None = None
    reason: SuppressionReason | None = None
    keys: Sequence[str] | None = None
    ended: bool = False


COLUMNS = "id, channel, address, reason, source, notification_id, created_at, expires_at, lifted_at"

# What has run out makes room in the unique index.
LIFT_EXPIRED = text("""
UPDATE suppression SET lifted_at = expires_at
 WHERE tenant = :tenant AND channel = :channel AND address_hash = :address_hash AND lifted_at IS NULL
   AND expires_at <= now()
""")

# The one that lasts longer stays, of two that last equally long the graver, of two that are alike the one that no group
# of a vendor can lift: in whatever order they come.
ADD_SUPPRESSION = text(f"""
INSERT INTO suppression AS old (id, tenant, channel, address_hash, address, reason, source, notification_id, created_at,
       expires_at)
VALUES (:id, :tenant, :channel, :address_hash, CAST(:address AS jsonb), :reason, :source, :notification_id, now(),
        :expires_at)
ON CONFLICT (tenant, channel, address_hash) WHERE lifted_at IS NULL DO UPDATE
   SET reason = EXCLUDED.reason, source = EXCLUDED.source, notification_id = EXCLUDED.notification_id,
       expires_at = EXCLUDED.expires_at, address = COALESCE(EXCLUDED.address, old.address)
 WHERE (COALESCE(EXCLUDED.expires_at, 'infinity'), array_position(CAST(:gravity AS text[]), EXCLUDED.reason),
        EXCLUDED.source NOT LIKE '%/{GROUP_PREFIX}%')
     > (COALESCE(old.expires_at, 'infinity'), array_position(CAST(:gravity AS text[]), old.reason),
        old.source NOT LIKE '%/{GROUP_PREFIX}%')
RETURNING {COLUMNS}
""")  # noqa: S608 - constants of our own
SELECT_IN_FORCE = text(f"""
SELECT {COLUMNS} FROM suppression
 WHERE tenant = :tenant AND channel = :channel AND address_hash = :address_hash AND lifted_at IS NULL
""")  # noqa: S608

# The person is locked against an erasure, which must find the address that is kept here. One that they have changed
# since the call is not written down: the key of the old one is enough.
SELECT_CALLED_ADDRESS = text("""
WITH call AS (
  SELECT a.tenant, a.notification_id, a.provider, a.address_hash, d.channel, n.recipient_id
    FROM attempt a JOIN delivery d ON d.id = a.delivery_id JOIN notification n ON n.id = a.notification_id
   WHERE a.id = :attempt_id AND a.tenant = :tenant AND a.address_hash IS NOT NULL
), recipient_row AS (
  SELECT r.contact, r.address_hashes FROM recipient r JOIN call USING (tenant, recipient_id) FOR KEY SHARE OF r
)
SELECT call.channel, call.provider, call.address_hash, recipient_row.contact, recipient_row.address_hashes
  FROM call LEFT JOIN recipient_row ON true
""")

SELECT_PAGE = text(f"""
SELECT {COLUMNS} FROM suppression s
 WHERE tenant = :tenant AND ({SUPPRESSION_IN_FORCE}) <> :ended
   AND (CAST(:channel AS text) IS NULL OR channel = :channel)
   AND (CAST(:reason AS text) IS NULL OR reason = :reason)
   AND (CAST(:keys AS text[]) IS NULL OR address_hash = ANY(:keys))
   AND (CAST(:before AS uuid) IS NULL OR id < :before)
 ORDER BY id DESC LIMIT :limit
""")  # noqa: S608
SELECT_ONE = text(f"SELECT {COLUMNS} FROM suppression WHERE tenant = :tenant AND id = :id")  # noqa: S608
# What that group has made for the address that the call went to.
LIFT_GROUP = text("""
UPDATE suppression s SET lifted_at = now() FROM attempt a JOIN delivery d ON d.id = a.delivery_id
 WHERE a.id = :attempt_id AND a.tenant = :tenant AND s.tenant = a.tenant AND s.channel = d.channel
   AND s.address_hash = a.address_hash AND s.lifted_at IS NULL AND s.reason = :reason AND s.source = :source
""")
LIFT_SUPPRESSION = text(f"""
UPDATE suppression s SET lifted_at = now() WHERE tenant = :tenant AND id = :id AND {SUPPRESSION_IN_FORCE} RETURNING id
""")  # noqa: S608


async def add(session: Executor, tenant: UUID, new: NewSuppression) -> tuple[SuppressionEntry, bool]:
    """Return the suppression now in force for that address, and whether this call changed it."""
    address_values: JsonObject = {"tenant": tenant, "channel": new.channel, "address_hash": new.address_hash}
    await session.execute(LIFT_EXPIRED, address_values)
    values = address_values | {
        "id": new_id(),
        "address": None if new.address is None else to_json(new.address),
        "reason": new.reason,
        "source": new.source,
        "notification_id": new.notification_id,
        "expires_at": new.expires_at,
        "gravity": [str(reason) for reason in SuppressionReason],
    }
    row = (await session.execute(ADD_SUPPRESSION, values)).mappings().one_or_none()
    if row is not None:
        return _entry_of(row), True
    return _entry_of((await session.execute(SELECT_IN_FORCE, address_values)).mappings().one()), False


async def apply_findings(
    session: Executor, ref: NotificationRef, attempt_id: UUID, findings: Sequence[SuppressionFinding]
) -> list[SuppressionFinding]:
    """Suppress the address that this call went to; those of the findings that changed something."""
    if not findings:
        return []
    values = {"attempt_id": attempt_id, "tenant": ref.tenant}
    call = (await session.execute(SELECT_CALLED_ADDRESS, values)).mappings().one_or_none()
    if call is None:
        return []
    applied = []
    for finding in findings:
        new = _suppression_of_call(call, ref.notification_id, finding)
        in_force, is_changed = await add(session, ref.tenant, new)
        if finding.group and in_force.source != new.source:  # of a second group: the first one alone lifts it no more
            await add(session, ref.tenant, replace(new, source=call["provider"]))
        if is_changed:
            applied.append(finding)
    return applied


async def lift_group_opt_out(session: Executor, tenant: UUID, attempt_id: UUID, source: str) -> None:
    """Lift the suppression that leaving this group of a vendor has made, and no other."""
    values = {"attempt_id": attempt_id, "tenant": tenant, "reason": SuppressionReason.OPTED_OUT, "source": source}
    await session.execute(LIFT_GROUP, values)


def _suppression_of_call(call: Any, notification_id: UUID, finding: SuppressionFinding) -> NewSuppression:
    channel = Channel(call["channel"])
    name = CONTACT_BY_CHANNEL[channel]
    contact, keys = decoded(call["contact"]) or {}, decoded(call["address_hashes"]) or {}
    return NewSuppression(
        channel=channel,
        address_hash=call["address_hash"],
        address={name: contact[name]} if keys.get(name) == call["address_hash"] else None,
        reason=finding.reason,
        source=suppression_source(call["provider"], finding.group),
        notification_id=notification_id,
    )


async def list_page(
    session: AsyncSession, tenant: UUID, criteria: SuppressionFilter, *, before: UUID | None, limit: int
) -> list[SuppressionEntry]:
    """Newest first."""
    values = {name: getattr(criteria, name) for name in criteria.__slots__}
    rows = await session.execute(SELECT_PAGE, {"tenant": tenant, "before": before, "limit": limit, **values})
    return [_entry_of(row) for row in rows.mappings()]


async def find(session: AsyncSession, tenant: UUID, id: UUID) -> SuppressionEntry | None:
    row = (await session.execute(SELECT_ONE, {"tenant": tenant, "id": id})).mappings().one_or_none()
    return None if row is None else _entry_of(row)


async def lift(session: AsyncSession, tenant: UUID, id: UUID) -> bool:
    """False if there is none in force with this id."""
    return (await session.execute(LIFT_SUPPRESSION, {"tenant": tenant, "id": id})).first() is not None


def _entry_of(row: Any) -> SuppressionEntry:
    channel = Channel(row["channel"])
    address = decoded(row["address"]) or {}
    return SuppressionEntry(
        **{
            **row,
            "channel": channel,
            "reason": SuppressionReason(row["reason"]),
            "address": address.get(CONTACT_BY_CHANNEL[channel]),
        }
    )
