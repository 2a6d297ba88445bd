"""Phones and browsers of a person. Called by the devices' routes; deliveries read addresses by themselves.

An address is `{token}` or `{subscription: {endpoint, keys}}`. It belongs to one device of one person of the tenant:
a phone that changed hands must not get its old owner's messages.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import DeviceKind
from domain.stored_limits import DEVICES
from models.columns import new_id
from storage.database import to_json
from storage.rows import decoded
from storage.sealing import Json, seal, unseal
from storage.statements import Executor


class TooManyDevices(Exception):
    """The recipient has as many devices as are stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDevice:
    device: str
    kind: DeviceKind
    address: Json
    locale: str | None = None

    @property
    def identity(self) -> Json:
        """What makes the address the same one: a browser may renew the keys of its endpoint."""
        if self.kind is DeviceKind.WEB_PUSH:
            return {"subscription": {"endpoint": self.address["subscription"]["endpoint"]}}
        return {"token": self.address["token"]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    id: UUID
    device: str
    kind: DeviceKind
    address: Json
    locale: str | None
    created_at: datetime
    updated_at: datetime


COLUMNS = "id, device, kind, address, locale, created_at, updated_at"

# Erasing the person waits for this transaction, or this finds nobody. Two new devices of one person are saved one after
# the other, so that they are counted.
HOLD_PERSON = text("SELECT 1 FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id FOR NO KEY UPDATE")
COUNT = text("SELECT count(*) FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id")

# Two people registering one token at the same moment: the second waits here, then takes it over.
LOCK_ADDRESS = text("SELECT pg_advisory_xact_lock(hashtextextended(:tenant_text || CAST(:identity AS text), 0))")

TAKE_OVER = text("""
DELETE FROM device WHERE tenant = :tenant AND address @> CAST(:identity AS jsonb)
   AND NOT (recipient_id = :recipient_id AND device = :device)
""")

SAVE = text(f"""
INSERT INTO device (id, tenant, recipient_id, device, kind, address, locale, created_at, updated_at)
VALUES (:id, :tenant, :recipient_id, :device, :kind, CAST(:address AS jsonb), :locale, now(), now())
ON CONFLICT (tenant, recipient_id, device) DO UPDATE SET kind = EXCLUDED.kind, address = EXCLUDED.address,
       locale = EXCLUDED.locale, updated_at = now()
RETURNING {COLUMNS}, xmax = 0 AS created
""")  # noqa: S608 - constants of our own

LIST = text(f"SELECT {COLUMNS} FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id ORDER BY id")  # noqa: S608

REMOVE = text("""
DELETE FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id AND device = :device RETURNING id
""")

# The token may have been renewed since: then the vendor's word was about the old one.
REMOVE_DEAD = text("""
DELETE FROM device WHERE tenant = :tenant AND id = CAST(:id AS uuid) AND address = CAST(:address AS jsonb) RETURNING id
""")


async def save(session: AsyncSession, tenant: UUID, recipient_id: str, new: NewDevice) -> tuple[Device, bool] | None:
    """The device and whether it is new; None for an unknown person. The address leaves whoever had it.

    Raises TooManyDevices.
    """
    person: Json = {"tenant": tenant, "recipient_id": recipient_id}
    identity = to_json(seal(new.identity))
    await session.execute(LOCK_ADDRESS, {"tenant_text": str(tenant), "identity": identity})
    if (await session.execute(HOLD_PERSON, person)).scalar() is None:
        return None
    await session.execute(TAKE_OVER, {**person, "device": new.device, "identity": identity})
    values = {
        **person,
        "id": new_id(),
        "device": new.device,
        "kind": new.kind,
        "address": to_json(seal(new.address)),
        "locale": new.locale,
    }
    row = (await session.execute(SAVE, values)).mappings().one()
    if row["created"] and (await session.execute(COUNT, person)).scalar_one() > DEVICES:
        raise TooManyDevices
    return _device(row), row["created"]


async def list_of(session: AsyncSession, tenant: UUID, recipient_id: str) -> list[Device]:
    rows = await session.execute(LIST, {"tenant": tenant, "recipient_id": recipient_id})
    return [_device(row) for row in rows.mappings()]


async def remove(session: AsyncSession, tenant: UUID, recipient_id: str, device: str) -> bool:
    values = {"tenant": tenant, "recipient_id": recipient_id, "device": device}
    return (await session.execute(REMOVE, values)).scalar() is not None


async def remove_dead(session: Executor, tenant: UUID, id: UUID, address: Json) -> bool:
    """A device whose vendor said that this address is no more."""
    values = {"tenant": tenant, "id": id, "address": to_json(seal(address))}
    return (await session.execute(REMOVE_DEAD, values)).scalar() is not None


def _device(row: Any) -> Device:
    return Device(
        id=row["id"],
        device=row["device"],
        kind=DeviceKind(row["kind"]),
        address=unseal(decoded(row["address"])),
        locale=row["locale"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
