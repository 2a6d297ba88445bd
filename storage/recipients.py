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

from domain.json_types import JsonObject
from domain.merge_patch import apply_merge_patch
from domain.stored_limits import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_VALUES
from storage.database import to_json
from storage.encryption import Encryption, SecretOwner, encryption_of
from storage.rows import decoded

# In statements on a notification `n`. Nothing is sent during an erasure in batches. The condition is that of
# an index.
IS_BEING_ERASED = """
EXISTS (SELECT 1 FROM erasure g WHERE g.tenant = n.tenant AND g.recipient_id = n.recipient_id
           AND g.finished_at IS NULL AND g.erased_at IS NULL)
""".strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientProfile:
    """`contact` lacks a secret whose key is missing."""

    recipient_id: str
    contact: JsonObject
    locale: str | None
    timezone: str | None
    attributes: JsonObject
    created_at: datetime
    updated_at: datetime


# For a notification `n`: a recipient created after its acceptance is another one with the same id. The ten seconds
# cover the difference between the start of a transaction, which is the row's time, and its commit.
IS_ERASED = """NOT EXISTS (SELECT 1 FROM recipient r WHERE r.tenant = n.tenant AND r.recipient_id = n.recipient_id
   AND r.created_at < n.created_at + interval '10 seconds')"""


class AttributesTooLarge(Exception):
    """The recipient would have more attributes than are stored."""


# Of a row that is written. The merge happens under its lock, so concurrent changes cannot exceed the limit together.
ATTRIBUTES_TOO_LARGE = f"""(octet_length(attributes::text) > {MAX_ATTRIBUTE_BYTES} OR
  (SELECT count(*) FROM jsonb_path_query(attributes, 'strict $.**')) > {MAX_ATTRIBUTE_VALUES})"""  # noqa: S608 - constants

COLUMNS = "recipient_id, contact, locale, timezone, attributes, created_at, updated_at"

SELECT_RECIPIENT = text(f"SELECT {COLUMNS} FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id")  # noqa: S608
LOCK_RECIPIENT = text(f"{SELECT_RECIPIENT.text} FOR UPDATE")
# To change the profile: what names the person, such as a digest that is closed, does not have to wait.
LOCK_PROFILE = text(f"{SELECT_RECIPIENT.text} FOR NO KEY UPDATE")

# xmax is 0 in a row that this statement made and not in one that it found.
REPLACE_PROFILE = text(f"""
WITH recipient_row AS (
  INSERT INTO recipient (tenant, recipient_id, contact, address_hashes, locale, timezone, attributes, created_at,
         updated_at)
  VALUES (:tenant, :recipient_id, CAST(:contact AS jsonb), CAST(:address_hashes AS jsonb), :locale, :timezone,
         CAST(:attributes AS jsonb), now(), now())
  ON CONFLICT (tenant, recipient_id) DO UPDATE SET contact = EXCLUDED.contact, address_hashes = EXCLUDED.address_hashes,
         locale = EXCLUDED.locale, timezone = EXCLUDED.timezone, attributes = EXCLUDED.attributes, updated_at = now()
  RETURNING {COLUMNS}, xmax = 0 AS created, {ATTRIBUTES_TOO_LARGE} AS too_large
), preference AS (
  INSERT INTO user_preference (tenant, user_id, global_channel_opt_in, type_channel_preferences, updated_at)
  SELECT :tenant, recipient_id, '{{}}', '{{}}', now() FROM recipient_row
  ON CONFLICT DO NOTHING
)
SELECT * FROM recipient_row
""")  # noqa: S608 - constants of our own

UPDATE_PROFILE = text(f"""
UPDATE recipient SET contact = CAST(:contact AS jsonb), address_hashes = CAST(:address_hashes AS jsonb),
       locale = :locale, timezone = :timezone, attributes = CAST(:attributes AS jsonb), updated_at = now()
 WHERE tenant = :tenant AND recipient_id = :recipient_id
RETURNING {COLUMNS}, {ATTRIBUTES_TOO_LARGE} AS too_large
""")  # noqa: S608

SELECT_TIMEZONES = text("""
SELECT r.recipient_id, COALESCE(r.timezone, n.timezone) AS zone FROM recipient r JOIN tenant n ON n.id = r.tenant
 WHERE r.tenant = :tenant AND r.recipient_id = ANY(:recipient_ids)
""")
SELECT_TENANT_TIMEZONE = text("SELECT timezone FROM tenant WHERE id = :tenant")
LOCK_KNOWN = text("""
SELECT recipient_id FROM recipient WHERE tenant = :tenant AND recipient_id = ANY(:recipient_ids)
 ORDER BY recipient_id FOR KEY SHARE
""")


async def find(
    session: AsyncSession, tenant: UUID, recipient_id: str, *, lock: bool = False
) -> RecipientProfile | None:
    values = {"tenant": tenant, "recipient_id": recipient_id}
    row = (await session.execute(LOCK_RECIPIENT if lock else SELECT_RECIPIENT, values)).mappings().one_or_none()
    return None if row is None else _profile_of(encryption_of(session), tenant, row)


async def replace_profile(
    session: AsyncSession, tenant: UUID, recipient_id: str, profile: JsonObject
) -> tuple[RecipientProfile, bool]:
    """Exactly this profile from now on; True if the person is new. Raises AttributesTooLarge."""
    encryption = encryption_of(session)
    stored_profile = {**profile, "contact": _encrypt_contact(encryption, tenant, recipient_id, profile)}
    row = (
        (await session.execute(REPLACE_PROFILE, _profile_values(encryption, tenant, recipient_id, stored_profile)))
        .mappings()
        .one()
    )
    if row["too_large"]:
        raise AttributesTooLarge
    return _profile_of(encryption, tenant, row), row["created"]


async def merge_profile(
    session: AsyncSession, tenant: UUID, recipient_id: str, changes: JsonObject
) -> RecipientProfile | None:
    """Merge the changes into the profile, where None clears, and return it, or None for an unknown recipient. Secrets
    that do not change stay as they are encrypted, also by a key that is missing.

    Raises AttributesTooLarge.
    """
    values = {"tenant": tenant, "recipient_id": recipient_id}
    row = (await session.execute(LOCK_PROFILE, values)).mappings().one_or_none()
    if row is None:
        return None
    encryption = encryption_of(session)
    lock_known = {name: decoded(row[name]) for name in ("contact", "attributes")}
    lock_known |= {name: row[name] for name in ("locale", "timezone")}
    profile = apply_merge_patch(
        lock_known, {**changes, "contact": _encrypt_contact(encryption, tenant, recipient_id, changes)}
    )
    row = (
        (await session.execute(UPDATE_PROFILE, _profile_values(encryption, tenant, recipient_id, profile)))
        .mappings()
        .one()
    )
    if row["too_large"] and "attributes" in changes:
        raise AttributesTooLarge
    return _profile_of(encryption, tenant, row)


async def read_timezones(session: AsyncSession, tenant: UUID, recipient_ids: Sequence[str]) -> dict[str, str]:
    """Return the time zone of each known recipient: its own, else that of the tenant."""
    rows = await session.execute(SELECT_TIMEZONES, {"tenant": tenant, "recipient_ids": list(recipient_ids)})
    return {row[0]: row[1] for row in rows}


async def read_tenant_timezone(session: AsyncSession, tenant: UUID) -> str:
    """Return the time zone of recipients without one."""
    return str((await session.execute(SELECT_TENANT_TIMEZONE, {"tenant": tenant})).scalar_one())


async def lock_known(session: AsyncSession, tenant: UUID, recipient_ids: Sequence[str]) -> set[str]:
    """Lock those of the recipients that exist, and return their ids. An erasure waits until the transaction ends."""
    return set((await session.execute(LOCK_KNOWN, {"tenant": tenant, "recipient_ids": list(recipient_ids)})).scalars())


def contact_columns(encryption: Encryption, tenant: UUID, recipient_id: str, contact: JsonObject) -> JsonObject:
    """Return the columns of these contact points."""
    return {
        "contact": encryption.encrypt_members(contact, secret_owner_of(tenant, recipient_id)),
        "address_hashes": encryption.address_hashes(tenant, contact),
    }


def secret_owner_of(tenant: UUID, recipient_id: str) -> SecretOwner:
    return SecretOwner(table="recipient", tenant=tenant, id=recipient_id)


def _encrypt_contact(encryption: Encryption, tenant: UUID, recipient_id: str, profile: JsonObject) -> JsonObject:
    return encryption.encrypt_members(profile.get("contact", {}), secret_owner_of(tenant, recipient_id))


def _profile_values(encryption: Encryption, tenant: UUID, recipient_id: str, profile: JsonObject) -> JsonObject:
    """Return the values of a profile whose contact already has encrypted secrets."""
    return {
        "tenant": tenant,
        "recipient_id": recipient_id,
        "contact": to_json(profile["contact"]),
        "address_hashes": to_json(encryption.address_hashes(tenant, profile["contact"])),
        "locale": profile.get("locale"),
        "timezone": profile.get("timezone"),
        "attributes": to_json(profile.get("attributes", {})),
    }


def _profile_of(encryption: Encryption, tenant: UUID, row: Any) -> RecipientProfile:
    return RecipientProfile(
        recipient_id=row["recipient_id"],
        contact=encryption.readable_members(decoded(row["contact"]), secret_owner_of(tenant, row["recipient_id"])),
        locale=row["locale"],
        timezone=row["timezone"],
        attributes=decoded(row["attributes"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
