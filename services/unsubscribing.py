"""Let a recipient leave the emails of a category by a link without a login. Used by `deliver`, which adds the link, and
by its page."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha512
from hmac import digest
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel
from domain.email_options import UNSUBSCRIBE_PLACEHOLDER
from domain.json_types import Json
from domain.notification_types import NotificationType
from domain.outgoing_messages import OutgoingMessage
from storage import preferences, reconsiderations

VALIDITY = timedelta(days=366)
# The longest ids and names make 3,000 characters.
TOKEN_LIMIT = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsubscription:
    """Name what the recipient leaves: the emails of `category`, or those of the type if it has none. `issued_on` is the
    day of the send."""

    tenant: UUID
    recipient_id: str
    notification_type: str
    category: str | None
    issued_on: str

    @property
    def name(self) -> str:
        return self.category or self.notification_type


class UnsubscribeLinks:
    """Build and read links. Their tokens are encrypted, so that they show neither recipient nor category. A send always
    has the same token, so that a repeated request has the same body. `secret` is the installation's: links are invalid
    after it changes."""

    def __init__(self, secret: bytes, base_url: str) -> None:
        self._cipher = AESSIV(digest(secret, b"tocsin unsubscribe", sha512))
        self._pages = f"{base_url}/unsubscribe"

    def add_link(self, message: OutgoingMessage, notification_type: NotificationType) -> OutgoingMessage:
        """Return the email with its link in the content, and in the headers unless the type is `required`."""
        if message.channel is not Channel.EMAIL:
            return message
        url = f"{self._pages}/{self.token(_unsubscription_of(message, notification_type))}"
        content = {
            name: part.replace(UNSUBSCRIBE_PLACEHOLDER, url) if isinstance(part, str) else part
            for name, part in message.content.items()
        }
        header_url = None if notification_type.required else url
        return replace(message, content=content, email=replace(message.email, unsubscribe_url=header_url))

    def token(self, unsubscription: Unsubscription) -> str:
        """Return a token of letters, digits, `-` and `_`."""
        values = [getattr(unsubscription, name) for name in unsubscription.__slots__]
        plain = json.dumps([str(values[0]), *values[1:]], ensure_ascii=False, separators=(",", ":")).encode()
        return urlsafe_b64encode(self._cipher.encrypt(plain, None)).decode().rstrip("=")

    def read(self, token: str, at: datetime) -> Unsubscription | None:
        """Return the content. None for a token that is not ours, or older than a year."""
        if len(token) > TOKEN_LIMIT or not token.isascii():
            return None
        try:
            plain = self._cipher.decrypt(urlsafe_b64decode(token + "=" * (-len(token) % 4)), None)
        except (ValueError, InvalidTag):
            return None
        tenant, *rest = json.loads(plain)
        found = Unsubscription(tenant=UUID(tenant), **dict(zip(Unsubscription.__slots__[1:], rest, strict=True)))
        return found if at.date() - datetime.fromisoformat(found.issued_on).date() <= VALIDITY else None


def _unsubscription_of(message: OutgoingMessage, notification_type: NotificationType) -> Unsubscription:
    return Unsubscription(
        tenant=message.tenant,
        recipient_id=message.recipient_id,
        notification_type=notification_type.key,
        category=notification_type.category,
        issued_on=message.created_at.astimezone(UTC).date().isoformat(),
    )


async def unsubscribe(session: AsyncSession, left: Unsubscription) -> None:
    """Turn the emails off in the recipient's preferences. Idempotent; nothing happens to an erased recipient."""
    stored = await preferences.find(session, left.tenant, left.recipient_id, lock=True)
    if stored is None:
        return
    types = _without_emails(stored.types, left)
    if types != stored.types:
        await preferences.save(session, left.tenant, left.recipient_id, stored.channels, types, stored.quiet_hours)
        await reconsiderations.reconsider(session, left.tenant, left.recipient_id)


def _without_emails(types: Json, left: Unsubscription) -> Json:
    """Return the choices by type and category. A choice for the type would outweigh the one for its category."""
    of_type = types.get(left.notification_type, {})
    changed = {**types, left.name: {**types.get(left.name, {}), Channel.EMAIL: False}}
    if left.name != left.notification_type and of_type.get(Channel.EMAIL):
        changed[left.notification_type] = {**of_type, Channel.EMAIL: False}
    return changed
