"""What an erasure replaces, because other rows need it: a recipient id that is an address, and quotes in schedules that
have other recipients."""

import re
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage import multi_sends
from storage.database import to_json
from storage.recipients import Person
from storage.rows import Json, decoded

PHONE = re.compile(r"\+[\d ()./-]{6,}")
LONG_ENOUGH = 6  # characters; of a shorter id only whole values are replaced

# Of schedules with other recipients; those of this one alone lose their payload and tags.
SHARED = text("""
SELECT id, spec FROM schedule WHERE tenant = :tenant AND deleted_at IS NULL
   AND spec->'recipients' ? CAST(:recipient_id AS text) ORDER BY id FOR NO KEY UPDATE
""")
SAVE = text("UPDATE schedule SET spec = CAST(:spec AS jsonb), updated_at = now() WHERE id = :id")

DIGESTS = text("""
WITH named AS (
  SELECT id FROM digest WHERE tenant = :tenant AND recipient_id = :recipient_id ORDER BY id LIMIT CAST(:limit AS int)
     FOR NO KEY UPDATE
)
UPDATE digest d SET recipient_id = :kept_as FROM named WHERE d.id = named.id
""")


def kept_id(person: Person, erasure: UUID) -> str:
    """Return the id under which the history is kept: the recipient's own unless that is an address."""
    id = person.recipient_id
    known = {_digits(value) or value for value in person.contact.values() if value}
    is_address = "@" in id or "://" in id or PHONE.fullmatch(id) or (_digits(id) or id) in known
    return f"erased-{erasure}" if is_address else id


async def rename_digests(session: AsyncSession, values: Json) -> None:
    """Replace the recipient id of `limit` digests."""
    if values["kept_as"] != values["recipient_id"]:
        await session.execute(DIGESTS, values)


async def forget_keys(session: AsyncSession, tenant: UUID, person: Person) -> None:
    """Hash idempotency keys of sends to several recipients that quote this one."""
    # `order-1000017` does not quote `100001`.
    long_enough = (re.escape(each) for each in quotes(person) if len(each) >= LONG_ENOUGH)
    quoted = [f"(^|[^[:alnum:]]){each}($|[^[:alnum:]])" for each in long_enough]
    await multi_sends.hash_keys(session, tenant, quoted)


def quotes(person: Person) -> list[str]:
    return [person.recipient_id, *filter(None, person.contact.values())]


async def redact_schedules(session: AsyncSession, tenant: UUID, person: Person) -> None:
    """Remove what quotes the recipient from payloads and tags that are also for others."""
    rows = await session.execute(SHARED, {"tenant": tenant, "recipient_id": person.recipient_id})
    for row in list(rows.mappings()):
        spec = decoded(row["spec"])
        redacted = {**spec, **{name: _without(person, spec[name]) for name in ("payload", "tags") if name in spec}}
        if redacted != spec:
            await session.execute(SAVE, {"id": row["id"], "spec": to_json(redacted)})


def _without(person: Person, value: Any) -> Any:
    if isinstance(value, dict):
        return {_without(person, name): _without(person, each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without(person, each) for each in value]
    if not isinstance(value, str):
        return value
    for quoted in quotes(person):
        whole = value.lower() == quoted.lower()
        value = "" if whole else _cut(value, quoted) if len(quoted) >= LONG_ENOUGH else value
    return value


def _cut(value: str, quoted: str) -> str:
    return re.sub(re.escape(quoted), "", value, flags=re.IGNORECASE)


def _digits(value: str) -> str:
    """Of a phone number, however it is written."""
    return re.sub(r"\D", "", value) if re.fullmatch(r"\+?[\d ()./-]+", value) else ""
