"""What an erasure replaces, because other rows need it: a recipient id that is an address, and quotes in schedules that
have other recipients."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.json_types import JsonObject
from storage import multi_sends
from storage.database import to_json
from storage.recipients import RecipientProfile
from storage.rows import decoded

PHONE_PATTERN = re.compile(r"\+[\d ()./-]{6,}")
MIN_QUOTE_LENGTH = 6  # characters; of a shorter id only whole values are replaced

# Of schedules with other recipients; those of this one alone lose their payload and tags.
LOCK_SHARED_SCHEDULES = text("""
SELECT id, spec FROM schedule WHERE tenant = :tenant AND deleted_at IS NULL
   AND spec->'recipients' ? CAST(:recipient_id AS text) ORDER BY id FOR NO KEY UPDATE
""")
SAVE_SPEC = text("UPDATE schedule SET spec = CAST(:spec AS jsonb), updated_at = now() WHERE id = :id")

RENAME_DIGESTS = text("""
WITH named AS (
  SELECT id FROM digest WHERE tenant = :tenant AND recipient_id = :recipient_id ORDER BY id LIMIT CAST(:limit AS int)
     FOR NO KEY UPDATE
)
UPDATE digest d SET recipient_id = :replacement_id FROM named WHERE d.id = named.id
""")


def choose_replacement_id(profile: RecipientProfile, erasure: UUID) -> str:
    """Return the id under which the history is kept: the recipient's own unless that is an address."""
    id = profile.recipient_id
    known = {_phone_digits(value) or value for value in profile.contact.values() if value}
    is_address = "@" in id or "://" in id or PHONE_PATTERN.fullmatch(id) or (_phone_digits(id) or id) in known
    return f"erased-{erasure}" if is_address else id


async def rename_digests(session: AsyncSession, values: JsonObject) -> None:
    """Replace the recipient id of `limit` digests."""
    if values["replacement_id"] != values["recipient_id"]:
        await session.execute(RENAME_DIGESTS, values)


async def hash_idempotency_keys(session: AsyncSession, tenant: UUID, profile: RecipientProfile) -> None:
    """Hash idempotency keys of sends to several recipients that quote this one."""
    # `order-1000017` does not quote `100001`.
    patterns = (re.escape(each) for each in quoted_values(profile) if len(each) >= MIN_QUOTE_LENGTH)
    quoted = [f"(^|[^[:alnum:]]){each}($|[^[:alnum:]])" for each in patterns]
    await multi_sends.replace_keys(session, tenant, quoted)


def quoted_values(profile: RecipientProfile) -> list[str]:
    return [profile.recipient_id, *filter(None, profile.contact.values())]


async def redact_schedules(session: AsyncSession, tenant: UUID, profile: RecipientProfile) -> None:
    """Remove what quotes the recipient from payloads and tags that are also for others."""
    rows = await session.execute(LOCK_SHARED_SCHEDULES, {"tenant": tenant, "recipient_id": profile.recipient_id})
    for row in list(rows.mappings()):
        spec = decoded(row["spec"])
        redacted = {**spec, **{name: _redact(profile, spec[name]) for name in ("payload", "tags") if name in spec}}
        if redacted != spec:
            await session.execute(SAVE_SPEC, {"id": row["id"], "spec": to_json(redacted)})


def _redact(profile: RecipientProfile, value: Any) -> Any:
    if isinstance(value, dict):
        return {_redact(profile, name): _redact(profile, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_redact(profile, each) for each in value]
    if not isinstance(value, str):
        return value
    for quoted in quoted_values(profile):
        is_whole_value = value.lower() == quoted.lower()
        value = "" if is_whole_value else _remove_text(value, quoted) if len(quoted) >= MIN_QUOTE_LENGTH else value
    return value


def _remove_text(value: str, quoted: str) -> str:
    return re.sub(re.escape(quoted), "", value, flags=re.IGNORECASE)


def _phone_digits(value: str) -> str:
    """Return the digits of a phone number, in whatever form it is written."""
    return re.sub(r"\D", "", value) if re.fullmatch(r"\+?[\d ()./-]+", value) else ""
