"""Phones and browsers of a person. Called by the devices' routes; deliveries read addresses by themselves.

An address is `{token}` or `{subscription: {endpoint, keys}}`, kept encrypted and found by a keyed hash. It belongs to
one device of one person of the tenant: a phone that changed hands must not get its old owner's messages.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import DeviceKind
from domain.json_types import Json
from domain.stored_limits import MAX_DEVICES
from models.columns import new_id
from storage.database import to_json
from storage.encryption import Encryption, SecretOwner, encryption_of
from storage.statements import Executor, decoded, statement


class TooManyDevices(Exception):
    """The recipient has as many devices as are stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDevice:
    device: str
    kind: DeviceKind
    address: Json = field(repr=False)
    locale: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredDevice:
    """`address` is empty if its key is missing."""

    id: UUID
    device: str
    kind: DeviceKind
    address: Json = field(repr=False)
    locale: str | None
    created_at: datetime
    updated_at: datetime


# An erasure of the recipient waits for this transaction, or this statement finds no row. Concurrent new devices of one
# recipient are saved one after the other, so that the limit counts both.
LOCK_RECIPIENT = text(
    "SELECT 1 FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id FOR NO KEY UPDATE"
)
COUNT_DEVICES = text("SELECT count(*) FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id")

# Two people registering one token at the same moment: the second waits here, then takes it over.
LOCK_ADDRESS = text("SELECT pg_advisory_xact_lock(hashtextextended(:address_hash, 0))")

DELETE_OTHER_OWNERS = text("""
DELETE FROM device WHERE tenant = :tenant AND address_hash = :address_hash
   AND NOT (recipient_id = :recipient_id AND device = :device)
""")

UPSERT_DEVICE = statement("devices/upsert_device")

SELECT_DEVICES = statement("devices/select_devices")

DELETE_DEVICE = text("""
DELETE FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id AND device = :device RETURNING id
""")

# The device may have registered since, with another token or the same one: then the vendor's word is about the past.
DELETE_INVALID = text("""
DELETE FROM device WHERE tenant = :tenant AND id = CAST(:id AS uuid) AND address_hash = :address_hash
   AND updated_at <= :gone_since RETURNING id
""")


async def save(
    session: AsyncSession, tenant: UUID, recipient_id: str, new: NewDevice
) -> tuple[RegisteredDevice, bool] | None:
    """Save a device and remove its address from its former owner. Return the device and whether it is new.

    Return None for an unknown recipient.

    Raises TooManyDevices.
    """
    recipient: Json = {"tenant": tenant, "recipient_id": recipient_id}
    encryption, owner = encryption_of(session), secret_owner_of(tenant, recipient_id, new.device)
    address_hash = address_hash_of(encryption, tenant, new.address)
    await session.execute(LOCK_ADDRESS, {"address_hash": address_hash})
    if (await session.execute(LOCK_RECIPIENT, recipient)).scalar() is None:
        return None
    await session.execute(DELETE_OTHER_OWNERS, {**recipient, "device": new.device, "address_hash": address_hash})
    values = {
        **recipient,
        "id": new_id(),
        "device": new.device,
        "kind": new.kind,
        "address": to_json(encryption.encrypt_members(new.address, owner)),
        "address_hash": address_hash,
        "locale": new.locale,
    }
    row = (await session.execute(UPSERT_DEVICE, values)).mappings().one()
    if row["created"] and (await session.execute(COUNT_DEVICES, recipient)).scalar_one() > MAX_DEVICES:
        raise TooManyDevices
    return _device_of(encryption, tenant, row), row["created"]


async def list_devices(session: AsyncSession, tenant: UUID, recipient_id: str) -> list[RegisteredDevice]:
    rows = await session.execute(SELECT_DEVICES, {"tenant": tenant, "recipient_id": recipient_id})
    return [_device_of(encryption_of(session), tenant, row) for row in rows.mappings()]


async def remove(session: AsyncSession, tenant: UUID, recipient_id: str, device: str) -> bool:
    values = {"tenant": tenant, "recipient_id": recipient_id, "device": device}
    return (await session.execute(DELETE_DEVICE, values)).scalar() is not None


async def remove_invalid(session: Executor, tenant: UUID, id: UUID, address: Json, gone_since: datetime) -> bool:
    """Delete a device whose address the vendor reported as dead since that time, unless it has registered later or has
    another address now. Return whether it was deleted."""
    address_hash = address_hash_of(encryption_of(session), tenant, address)
    values = {"tenant": tenant, "id": id, "address_hash": address_hash, "gone_since": gone_since}
    return (await session.execute(DELETE_INVALID, values)).scalar() is not None


def secret_owner_of(tenant: UUID, recipient_id: str, device: str) -> SecretOwner:
    """Return the owner of a device's secrets. A device that registers again keeps this identity."""
    return SecretOwner(table="device", tenant=tenant, id=json.dumps([recipient_id, device]))


def address_hash_of(encryption: Encryption, tenant: UUID, address: Json) -> str:
    """Return the hash of the members that identify the address: a browser may renew the keys of its endpoint."""
    identity = address["token"] if "token" in address else address["subscription"]["endpoint"]
    return encryption.lookup_hash(f"device:{tenant}:{identity}")


def _device_of(encryption: Encryption, tenant: UUID, row: Any) -> RegisteredDevice:
    return RegisteredDevice(
        id=row["id"],
        device=row["device"],
        kind=DeviceKind(row["kind"]),
        address=encryption.readable_members(
            decoded(row["address"]), secret_owner_of(tenant, row["recipient_id"], row["device"])
        ),
        locale=row["locale"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
