"""What the engine would read of a notification that is not stored. Called by dry runs of sends."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from storage.acceptance import NewNotification, item_columns
from storage.database import to_json
from storage.encryption import encryption_of
from storage.recipient_contexts import RecipientContext, recipient_context_of
from storage.statements import Executor, statement

# The statement that reads an audience, over rows that exist in it alone: the notification, and the recipient as
# accepting the send would leave it.
SELECT_PREVIEW = statement("acceptance/select_preview")


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
