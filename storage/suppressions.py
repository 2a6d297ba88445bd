"""Maintain the suppression list. Evidence and operators add entries; operators and opt-ins lift them.

A STOP that a recipient writes back counts for every tenant that has the number. Receipts of START and STOP are applied
in the transaction that stores them.

Locks are taken in one order: the recipient, the list, then a notification.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel
from domain.json_types import Json
from domain.suppressions import (
    CONTACT_BY_CHANNEL,
    GROUP_PREFIX,
    SuppressionFinding,
    SuppressionReason,
    suppression_source,
)
from models.columns import new_id
from storage.database import to_json
from storage.encryption import encryption_of
from storage.ledgers import NotificationRef
from storage.statements import Executor, decoded, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSuppression:
    """`address` is `{email}` or `{phone}`; None if only its key is known."""

    channel: Channel
    address_hash: str
    address: Json | None
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
    """Filter the list. `keys` are those of one address. `ended` selects lifted and expired entries, and no others."""

    channel: Channel | None = None
    reason: SuppressionReason | None = None
    keys: Sequence[str] | None = None
    ended: bool = False


# Expired entries free the unique index.
LIFT_EXPIRED = statement("suppressions/lift_expired")
# Keeps the entry that lasts longer, then the more severe one, then the one that no group of a vendor can lift. The
# order in which they come does not matter.
ADD_SUPPRESSION = statement("suppressions/add_suppression")
SELECT_IN_FORCE = statement("suppressions/select_in_force")
# Locks the recipient, so that an erasure finds the address that is stored here. An address that has changed since the
# call is not stored: the key of the old one is enough.
SELECT_CALLED_ADDRESS = statement("suppressions/select_called_address")
SELECT_PAGE = statement("suppressions/select_page")
SELECT_SUPPRESSED = statement("suppressions/select_suppressed")
SELECT_ONE = statement("suppressions/select_one")
# Lifts what that group has suppressed for the called address.
LIFT_GROUP = statement("suppressions/lift_group")
LIFT_SUPPRESSION = statement("suppressions/lift_suppression")
SELECT_TENANTS = text("SELECT id FROM tenant")
# Locked in one order, and so that an erasure finds the number that is stored.
LOCK_OWNERS = statement("suppressions/lock_owners")
# Recipients cannot lift complaints and entries of operators. Locked in the order of LOCK_OWNERS.
LIFT_OPT_OUTS = statement("suppressions/lift_opt_outs")


async def add(session: Executor, tenant: UUID, new: NewSuppression) -> tuple[SuppressionEntry, bool]:
    """Return the suppression now in force for that address, and whether this call changed it."""
    address_values: Json = {"tenant": tenant, "channel": new.channel, "address_hash": new.address_hash}
    await session.execute(LIFT_EXPIRED, address_values)
    values = address_values | {
        "id": new_id(),
        "address": None if new.address is None else to_json(new.address),
        "reason": new.reason,
        "source": new.source,
        "notification_id": new.notification_id,
        "expires_at": new.expires_at,
        "gravity": [str(reason) for reason in SuppressionReason],
        "group_pattern": f"%/{GROUP_PREFIX}%",
    }
    row = (await session.execute(ADD_SUPPRESSION, values)).mappings().one_or_none()
    if row is not None:
        return _entry_of(row), True
    return _entry_of((await session.execute(SELECT_IN_FORCE, address_values)).mappings().one()), False


async def apply_findings(
    session: Executor, ref: NotificationRef, attempt_id: UUID, findings: Sequence[SuppressionFinding]
) -> list[SuppressionFinding]:
    """Suppress the address of this call for each finding. Return the findings that changed the list."""
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


async def find_suppressed(session: Executor, tenant: UUID, channel: Channel, hashes: Collection[str]) -> set[str]:
    """Return those of the hashes whose addresses are suppressed now."""
    values = {"tenant": tenant, "channel": channel, "hashes": list(hashes)}
    return set((await session.execute(SELECT_SUPPRESSED, values)).scalars())


async def lift(session: AsyncSession, tenant: UUID, id: UUID) -> bool:
    """Lift a suppression. Return False if none with this id is in force."""
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


PHONE_CONTACT = CONTACT_BY_CHANNEL[Channel.SMS]


async def opt_out(session: AsyncSession, source: str, phone: str) -> None:
    """Suppress this phone number for the tenants that have it. `source` is the provider that received the message."""
    for tenant, key in (await lock_owners(session, phone)).items():
        new = NewSuppression(
            channel=Channel.SMS,
            address_hash=key,
            address={PHONE_CONTACT: phone},
            reason=SuppressionReason.OPTED_OUT,
            source=source,
        )
        await add(session, tenant, new)


async def lock_owners(session: AsyncSession, phone: str) -> dict[UUID, str]:
    """Lock the recipients with this phone number. Return their tenants, with the hash of the number for each."""
    rows = await session.execute(LOCK_OWNERS, await _hashes_by_tenant(session, phone))
    return {row.tenant: row.key for row in rows}


async def opt_in(session: AsyncSession, source: str, phone: str) -> None:
    """Lift opt-outs of a phone number, also those known only from a rejection by this provider."""
    lift_values = {"channel": Channel.SMS, "source": source, "reason": SuppressionReason.OPTED_OUT}
    await session.execute(LIFT_OPT_OUTS, await _hashes_by_tenant(session, phone) | lift_values)


async def _hashes_by_tenant(session: AsyncSession, phone: str) -> Json:
    """Return the hash of the number for each tenant. The hash of one tenant reveals nothing about those of others."""
    tenants: list[UUID] = list((await session.execute(SELECT_TENANTS)).scalars())
    encryption = encryption_of(session)
    return {"tenants": tenants, "keys": [encryption.address_hash(tenant, PHONE_CONTACT, phone) for tenant in tenants]}
