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
from domain.stored_limits import DEVICES
from models.columns import new_id
from storage.database import to_json
from storage.encryption import Encryption, Owner, encryption_of
from storage.rows import Json, decoded
from storage.statements import Executor


class TooManyDevices(Exception):
    """The recipient has as many devices as are stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDevice:
    device: str
    kind: DeviceKind
    address: Json = field(repr=False)
    locale: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """`address` is empty if its key is missing."""

    id: UUID
    device: str
    kind: DeviceKind
    address: Json = field(repr=False)
    locale: str | None
    created_at: datetime
    updated_at: datetime


COLUMNS = "id, recipient_id, device, kind, address, locale, created_at, updated_at"

# Erasing the person waits for this transaction, or this finds nobody. Two new devices of one person are saved one after
# the other, so that they are counted.
HOLD_PERSON = text("SELECT 1 FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id FOR NO KEY UPDATE")
COUNT = text("SELECT count(*) FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id")

# Two people registering one token at the same moment: the second waits here, then takes it over.
LOCK_ADDRESS = text("SELECT pg_advisory_xact_lock(hashtextextended(:address_hash, 0))")

TAKE_OVER = text("""
DELETE FROM device WHERE tenant = :tenant AND address_hash = :address_hash
   AND NOT (recipient_id = :recipient_id AND device = :device)
""")

SAVE = text(f"""
INSERT INTO device (id, tenant, recipient_id, device, kind, address, address_hash, locale, created_at,
       updated_at)
VALUES (:id, :tenant, :recipient_id, :device, :kind, CAST(:address AS jsonb), :address_hash, :locale, now(), now())
ON CONFLICT (tenant, recipient_id, device) DO UPDATE SET kind = EXCLUDED.kind, address = EXCLUDED.address,
       address_hash = EXCLUDED.address_hash, locale = EXCLUDED.locale, updated_at = now()
RETURNING {COLUMNS}, xmax = 0 AS created
""")  # noqa: S608 - constants of our own

LIST = text(f"SELECT {COLUMNS} FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id ORDER BY id")  # noqa: S608

REMOVE = text("""
DELETE FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id AND device = :device RETURNING id
""")

# The token may have been renewed since: then the vendor's word was about the old one.
REMOVE_DEAD = text("""
DELETE FROM device WHERE tenant = :tenant AND id = CAST(:id AS uuid) AND address_hash = :address_hash RETURNING id
""")


async def save(session: AsyncSession, tenant: UUID, recipient_id: str, new: NewDevice) -> tuple[Device, bool] | None:
    """The device and whether it is new; None for an unknown person. The address leaves whoever had it.

    Raises TooManyDevices.
    """
    person: Json = {"tenant": tenant, "recipient_id": recipient_id}
    encryption, owner = encryption_of(session), owner_of(tenant, recipient_id, new.device)
    address_hash = hash_of(encryption, tenant, new.address)
    await session.execute(LOCK_ADDRESS, {"address_hash": address_hash})
    if (await session.execute(HOLD_PERSON, person)).scalar() is None:
        return None
    await session.execute(TAKE_OVER, {**person, "device": new.device, "address_hash": address_hash})
    values = {
        **person,
        "id": new_id(),
        "device": new.device,
        "kind": new.kind,
        "address": to_json(encryption.encrypt_members(new.address, owner)),
        "address_hash": address_hash,
        "locale": new.locale,
    }
    row = (await session.execute(SAVE, values)).mappings().one()
    if row["created"] and (await session.execute(COUNT, person)).scalar_one() > DEVICES:
        raise TooManyDevices
    return _device(encryption, tenant, row), row["created"]


async def list_of(session: AsyncSession, tenant: UUID, recipient_id: str) -> list[Device]:
    rows = await session.execute(LIST, {"tenant": tenant, "recipient_id": recipient_id})
    return [_device(encryption_of(session), tenant, row) for row in rows.mappings()]


async def remove(session: AsyncSession, tenant: UUID, recipient_id: str, device: str) -> bool:
    values = {"tenant": tenant, "recipient_id": recipient_id, "device": device}
    return (await session.execute(REMOVE, values)).scalar() is not None


async def remove_dead(session: Executor, tenant: UUID, id: UUID, address: Json) -> bool:
    """A device whose vendor said that this address is no more."""
    values = {"tenant": tenant, "id": id, "address_hash": hash_of(encryption_of(session), tenant, address)}
    return (await session.execute(REMOVE_DEAD, values)).scalar() is not None


def owner_of(tenant: UUID, recipient_id: str, device: str) -> Owner:
    """A device keeps this identity when it registers again."""
    return Owner(table="device", tenant=tenant, id=json.dumps([recipient_id, device]))


def hash_of(encryption: Encryption, tenant: UUID, address: Json) -> str:
    """Of what makes the address the same one: a browser may renew the keys of its endpoint."""
    same = address["token"] if "token" in address else address["subscription"]["endpoint"]
    return encryption.lookup_hash(f"device:{tenant}:{same}")


def _device(encryption: Encryption, tenant: UUID, row: Any) -> Device:
    return Device(
        id=row["id"],
        device=row["device"],
        kind=DeviceKind(row["kind"]),
        address=encryption.readable_members(
            decoded(row["address"]), owner_of(tenant, row["recipient_id"], row["device"])
        ),
        locale=row["locale"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
