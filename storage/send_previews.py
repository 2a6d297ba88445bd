"""What the engine would read of a notification that is not stored. Called by dry runs of sends."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from storage.acceptance import EXPIRES_AT, NewNotification, item_columns
from storage.database import to_json
from storage.encryption import encryption_of
from storage.recipient_contexts import SELECT_CONTEXTS, RecipientContext, recipient_context_of
from storage.recipients import ATTRIBUTES_TOO_LARGE
from storage.statements import Executor

# The statement that reads an audience, over rows that exist in it alone: the notification, and the recipient as
# accepting the send would leave it.
SELECT_PREVIEW = text(f"""
WITH item AS (
  SELECT * FROM jsonb_to_record(CAST(:item AS jsonb)) AS x(
    id uuid, recipient_id text, profile jsonb, type_id uuid, event_payload jsonb, priority int, channels text[],
    send_at timestamptz, expires_in float8)
), notification AS (
  SELECT id, CAST(:tenant AS uuid) AS tenant, recipient_id, type_id, event_payload, 'PENDING' AS status,
         CAST(NULL AS text) AS failure_reason, 1 AS generation, priority, channels, clock_timestamp() AS created_at,
         CAST(NULL AS timestamptz) AS finished_at, CAST(NULL AS text) AS digest_key, CAST(NULL AS uuid) AS digest_id
    FROM item
), recipient AS (
  SELECT CAST(:tenant AS uuid) AS tenant, item.recipient_id,
         COALESCE(r.contact, '{{}}') || COALESCE(profile->'contact', '{{}}') AS contact,
         COALESCE(r.address_hashes, '{{}}') || COALESCE(profile->'address_hashes', '{{}}') AS address_hashes,
         COALESCE(profile->>'locale', r.locale) AS locale, COALESCE(profile->>'timezone', r.timezone) AS timezone,
         COALESCE(r.attributes, '{{}}') || COALESCE(profile->'attributes', '{{}}') AS attributes
    FROM item LEFT JOIN recipient r ON r.tenant = :tenant AND r.recipient_id = item.recipient_id
   WHERE r.recipient_id IS NOT NULL OR profile IS NOT NULL
)
SELECT audience.*, (SELECT {EXPIRES_AT} FROM item) AS expires_at, EXISTS (SELECT 1 FROM recipient) AS known_recipient,
       (SELECT (profile->'attributes') IS NOT NULL FROM item)
       AND COALESCE((SELECT {ATTRIBUTES_TOO_LARGE} FROM recipient), false) AS too_large
  FROM ({SELECT_CONTEXTS}) audience
""")  # noqa: S608 - constants of our own


@dataclass(frozen=True, kw_only=True, slots=True)
class SendPreview:
    """The audience of a send, and why it would not be accepted."""

    recipient_context: RecipientContext
    expires_at: datetime | None
    known_recipient: bool
    attributes_too_large: bool


async def read_send_preview(session: Executor, tenant: UUID, new: NewNotification) -> SendPreview:
    """Write nothing, and lock nothing."""
    item = to_json(item_columns(encryption_of(session), tenant, new))
    row = (await session.execute(SELECT_PREVIEW, {"item": item, "tenant": tenant})).mappings().one()
    return SendPreview(
        recipient_context=recipient_context_of(row),
        expires_at=row["expires_at"],
        known_recipient=row["known_recipient"],
        attributes_too_large=row["too_large"],
    )
