"""People as a tenant names them: profile and contact points. Called by the recipients' routes.

A profile is `{contact, locale, timezone, attributes}`; secrets of `contact` are encrypted here. A recipient is always
made together with their preferences, which the guard of a delivery locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.merge_patch import merged
from domain.stored_limits import ATTRIBUTE_BYTES, ATTRIBUTE_VALUES
from storage.database import to_json
from storage.encryption import Encryption, Owner, encryption_of
from storage.rows import Json, decoded

# In statements on a notification `n`. An erasure in batches takes time, and nothing is sent meanwhile. The condition is
# that of an index.
BEING_ERASED = """
EXISTS (SELECT 1 FROM erasure g WHERE g.tenant = n.tenant AND g.recipient_id = n.recipient_id
           AND g.finished_at IS NULL AND g.erased_at IS NULL)
""".strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """`contact` lacks a secret whose key is missing."""

    recipient_id: str
    contact: Json
    locale: str | None
    timezone: str | None
    attributes: Json
    created_at: datetime
    updated_at: datetime


# Of a notification `n`: whoever has the person's id but was not there yet when it was accepted is somebody else. Ten
# seconds, since a row's time is when its transaction began.
ERASED = """NOT EXISTS (SELECT 1 FROM recipient r WHERE r.tenant = n.tenant AND r.recipient_id = n.recipient_id
   AND r.created_at < n.created_at + interval '10 seconds')"""


class AttributesTooLarge(Exception):
    """The recipient would have more attributes than are stored."""


# Of a row that is written. The merge happens under its lock, so concurrent changes cannot exceed the limit together.
ATTRIBUTES_TOO_LARGE = f"""(octet_length(attributes::text) > {ATTRIBUTE_BYTES} OR
  (SELECT count(*) FROM jsonb_path_query(attributes, 'strict $.**')) > {ATTRIBUTE_VALUES})"""  # noqa: S608 - constants

COLUMNS = "recipient_id, contact, locale, timezone, attributes, created_at, updated_at"

FIND = text(f"SELECT {COLUMNS} FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id")  # noqa: S608
LOCK = text(f"{FIND.text} FOR UPDATE")
# To change the profile: what names the person, such as a digest that is closed, does not have to wait.
LOCK_PROFILE = text(f"{FIND.text} FOR NO KEY UPDATE")

# xmax is 0 in a row that this statement made and not in one that it found.
REPLACE = text(f"""
WITH person AS (
  INSERT INTO recipient (tenant, recipient_id, contact, address_keys, locale, timezone, attributes, created_at,
         updated_at)
  VALUES (:tenant, :recipient_id, CAST(:contact AS jsonb), CAST(:address_keys AS jsonb), :locale, :timezone,
         CAST(:attributes AS jsonb), now(), now())
  ON CONFLICT (tenant, recipient_id) DO UPDATE SET contact = EXCLUDED.contact, address_keys = EXCLUDED.address_keys,
         locale = EXCLUDED.locale, timezone = EXCLUDED.timezone, attributes = EXCLUDED.attributes, updated_at = now()
  RETURNING {COLUMNS}, xmax = 0 AS created, {ATTRIBUTES_TOO_LARGE} AS too_large
), preference AS (
  INSERT INTO user_preference (tenant, user_id, global_channel_opt_in, type_channel_preferences, updated_at)
  SELECT :tenant, recipient_id, '{{}}', '{{}}', now() FROM person
  ON CONFLICT DO NOTHING
)
SELECT * FROM person
""")  # noqa: S608 - constants of our own

UPDATE = text(f"""
UPDATE recipient SET contact = CAST(:contact AS jsonb), address_keys = CAST(:address_keys AS jsonb),
       locale = :locale, timezone = :timezone, attributes = CAST(:attributes AS jsonb), updated_at = now()
 WHERE tenant = :tenant AND recipient_id = :recipient_id
RETURNING {COLUMNS}, {ATTRIBUTES_TOO_LARGE} AS too_large
""")  # noqa: S608

ZONES = text("""
SELECT r.recipient_id, COALESCE(r.timezone, n.timezone) AS zone FROM recipient r JOIN tenant n ON n.id = r.tenant
 WHERE r.tenant = :tenant AND r.recipient_id = ANY(:people)
""")
ZONE_OF_ALL = text("SELECT timezone FROM tenant WHERE id = :tenant")
KNOWN = text("""
SELECT recipient_id FROM recipient WHERE tenant = :tenant AND recipient_id = ANY(:people)
 ORDER BY recipient_id FOR KEY SHARE
""")


async def find(session: AsyncSession, tenant: UUID, recipient_id: str, *, lock: bool = False) -> Person | None:
    values = {"tenant": tenant, "recipient_id": recipient_id}
    row = (await session.execute(LOCK if lock else FIND, values)).mappings().one_or_none()
    return None if row is None else _person(encryption_of(session), tenant, row)


async def replace(session: AsyncSession, tenant: UUID, recipient_id: str, profile: Json) -> tuple[Person, bool]:
    """Exactly this profile from now on; True if the person is new. Raises AttributesTooLarge."""
    encryption = encryption_of(session)
    kept = {**profile, "contact": _encrypted(encryption, tenant, recipient_id, profile)}
    row = (await session.execute(REPLACE, _values(encryption, tenant, recipient_id, kept))).mappings().one()
    if row["too_large"]:
        raise AttributesTooLarge
    return _person(encryption, tenant, row), row["created"]


async def merge(session: AsyncSession, tenant: UUID, recipient_id: str, changes: Json) -> Person | None:
    """The profile with the changes laid over it, where None clears; None for an unknown person. Secrets that are not
    changed stay as they are encrypted, also by a key that is missing.

    Raises AttributesTooLarge.
    """
    values = {"tenant": tenant, "recipient_id": recipient_id}
    row = (await session.execute(LOCK_PROFILE, values)).mappings().one_or_none()
    if row is None:
        return None
    encryption = encryption_of(session)
    known = {name: decoded(row[name]) for name in ("contact", "attributes")}
    known |= {name: row[name] for name in ("locale", "timezone")}
    profile = merged(known, {**changes, "contact": _encrypted(encryption, tenant, recipient_id, changes)})
    row = (await session.execute(UPDATE, _values(encryption, tenant, recipient_id, profile))).mappings().one()
    if row["too_large"] and "attributes" in changes:
        raise AttributesTooLarge
    return _person(encryption, tenant, row)


async def zones(session: AsyncSession, tenant: UUID, people: Sequence[str]) -> dict[str, str]:
    """Of those who are known: where they are, else where the tenant is."""
    rows = await session.execute(ZONES, {"tenant": tenant, "people": list(people)})
    return {row[0]: row[1] for row in rows}


async def zone_of_all(session: AsyncSession, tenant: UUID) -> str:
    """Where those are who do not say."""
    return str((await session.execute(ZONE_OF_ALL, {"tenant": tenant})).scalar_one())


async def known(session: AsyncSession, tenant: UUID, people: Sequence[str]) -> set[str]:
    """Those of them that there are; an erasure waits until the transaction is over."""
    return set((await session.execute(KNOWN, {"tenant": tenant, "people": list(people)})).scalars())


def kept_contact(encryption: Encryption, tenant: UUID, recipient_id: str, contact: Json) -> Json:
    """The columns of these contact points."""
    return {
        "contact": encryption.encrypt_members(contact, owner_of(tenant, recipient_id)),
        "address_keys": encryption.address_keys(tenant, contact),
    }


def owner_of(tenant: UUID, recipient_id: str) -> Owner:
    return Owner(table="recipient", tenant=tenant, id=recipient_id)


def _encrypted(encryption: Encryption, tenant: UUID, recipient_id: str, profile: Json) -> Json:
    return encryption.encrypt_members(profile.get("contact", {}), owner_of(tenant, recipient_id))


def _values(encryption: Encryption, tenant: UUID, recipient_id: str, profile: Json) -> Json:
    """Secrets of the profile's contact are encrypted."""
    return {
        "tenant": tenant,
        "recipient_id": recipient_id,
        "contact": to_json(profile["contact"]),
        "address_keys": to_json(encryption.address_keys(tenant, profile["contact"])),
        "locale": profile.get("locale"),
        "timezone": profile.get("timezone"),
        "attributes": to_json(profile.get("attributes", {})),
    }


def _person(encryption: Encryption, tenant: UUID, row: Any) -> Person:
    return Person(
        recipient_id=row["recipient_id"],
        contact=encryption.readable_members(decoded(row["contact"]), owner_of(tenant, row["recipient_id"])),
        locale=row["locale"],
        timezone=row["timezone"],
        attributes=decoded(row["attributes"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
