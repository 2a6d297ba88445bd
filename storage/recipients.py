"""Read and write the recipients of a tenant, and their topics. A topic exists while it has subscribers.

A profile is `{contact, locale, timezone, attributes}`; secrets of `contact` are encrypted here. A recipient is always
made together with their preferences, which the guard of a delivery locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import Json, apply_merge_patch
from domain.stored_limits import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_VALUES
from storage import schedule_occurrences
from storage.database import to_json
from storage.encryption import Encryption, SecretOwner, encryption_of
from storage.statements import decoded, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientProfile:
    """`contact` lacks a secret whose key is missing."""

    recipient_id: str
    contact: Json
    locale: str | None
    timezone: str | None
    attributes: Json
    created_at: datetime
    updated_at: datetime


class AttributesTooLarge(Exception):
    """The recipient would have more attributes than are stored."""


SELECT_RECIPIENT = statement("recipients/select_recipient")
LOCK_RECIPIENT = statement("recipients/lock_recipient")
# To change the profile: what names the person, such as a digest that is closed, does not have to wait.
LOCK_PROFILE = statement("recipients/lock_profile")
REPLACE_PROFILE = statement("recipients/replace_profile")
UPDATE_PROFILE = statement("recipients/update_profile")
SELECT_TIMEZONES = statement("recipients/select_timezones")
LOCK_KNOWN = statement("recipients/lock_known")
ADD_SUBSCRIBER = statement("recipients/add_subscriber")
REMOVE_SUBSCRIBER = text("""
DELETE FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic AND recipient_id = :recipient_id
""")
SELECT_TOPICS = statement("recipients/select_topics")
SELECT_SUBSCRIBERS = statement("recipients/select_subscribers")


async def find(
    session: AsyncSession, tenant: UUID, recipient_id: str, *, lock: bool = False
) -> RecipientProfile | None:
    values = {"tenant": tenant, "recipient_id": recipient_id}
    row = (await session.execute(LOCK_RECIPIENT if lock else SELECT_RECIPIENT, values)).mappings().one_or_none()
    return None if row is None else _profile_of(encryption_of(session), tenant, row)


async def replace_profile(
    session: AsyncSession, tenant: UUID, recipient_id: str, profile: Json
) -> tuple[RecipientProfile, bool]:
    """Create or replace a profile. Return True if the recipient is new. Raise AttributesTooLarge."""
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
    session: AsyncSession, tenant: UUID, recipient_id: str, changes: Json
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


async def lock_known(session: AsyncSession, tenant: UUID, recipient_ids: Sequence[str]) -> set[str]:
    """Lock those of the recipients that exist, and return their ids. An erasure waits until the transaction ends."""
    return set((await session.execute(LOCK_KNOWN, {"tenant": tenant, "recipient_ids": list(recipient_ids)})).scalars())


def contact_columns(encryption: Encryption, tenant: UUID, recipient_id: str, contact: Json) -> Json:
    """Return the columns of these contact points."""
    return {
        "contact": encryption.encrypt_members(contact, secret_owner_of(tenant, recipient_id)),
        "address_hashes": encryption.address_hashes(tenant, contact),
    }


def secret_owner_of(tenant: UUID, recipient_id: str) -> SecretOwner:
    return SecretOwner(table="recipient", tenant=tenant, id=recipient_id)


def _encrypt_contact(encryption: Encryption, tenant: UUID, recipient_id: str, profile: Json) -> Json:
    return encryption.encrypt_members(profile.get("contact", {}), secret_owner_of(tenant, recipient_id))


def _profile_values(encryption: Encryption, tenant: UUID, recipient_id: str, profile: Json) -> Json:
    """Return the values of a profile whose contact already has encrypted secrets."""
    return {
        "tenant": tenant,
        "recipient_id": recipient_id,
        "contact": to_json(profile["contact"]),
        "address_hashes": to_json(encryption.address_hashes(tenant, profile["contact"])),
        "locale": profile.get("locale"),
        "timezone": profile.get("timezone"),
        "attributes": to_json(profile.get("attributes", {})),
        "max_attribute_bytes": MAX_ATTRIBUTE_BYTES,
        "max_attribute_values": MAX_ATTRIBUTE_VALUES,
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


async def subscribe(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> bool:
    """Return False for an unknown recipient. Idempotent."""
    if recipient_id not in await lock_known(session, tenant, [recipient_id]):
        return False
    values = {"tenant": tenant, "topic": topic, "recipient_id": recipient_id}
    await schedule_occurrences.lock_topic_shared(session, tenant, topic)
    if _has_changed_rows(await session.execute(ADD_SUBSCRIBER, values)):
        await schedule_occurrences.add_subscriber(session, tenant, topic, recipient_id)
    return True


async def unsubscribe(session: AsyncSession, tenant: UUID, topic: str, recipient_id: str) -> bool:
    """Return False if the recipient was not subscribed."""
    removed = _has_changed_rows(
        await session.execute(REMOVE_SUBSCRIBER, {"tenant": tenant, "topic": topic, "recipient_id": recipient_id})
    )
    if removed:
        await schedule_occurrences.remove_subscriber(session, tenant, topic, recipient_id)
    return removed


async def list_topics(session: AsyncSession, tenant: UUID, after: str | None, limit: int) -> list[tuple[str, int]]:
    """Return topics by key after `after`, with the number of subscribers."""
    rows = await session.execute(SELECT_TOPICS, {"tenant": tenant, "after": after or "", "limit": limit})
    return [(topic, count) for topic, count in rows]


async def list_subscribers(session: AsyncSession, tenant: UUID, topic: str, after: str | None, limit: int) -> list[str]:
    """Return the ids after `after`, in order."""
    values = {"tenant": tenant, "topic": topic, "after": after or "", "limit": limit}
    return list((await session.execute(SELECT_SUBSCRIBERS, values)).scalars())


def _has_changed_rows(result: Any) -> bool:
    return cast(CursorResult[Any], result).rowcount > 0
