"""Webhooks to an address that the person's record names, signed as Standard Webhooks says.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC
from typing import ClassVar, Self
from uuid import UUID

import httpx2

from domain.channels import Channel
from domain.outgoing import Message
from providers.base import Provider
from providers.outcomes import Accepted, Json, Refused, Temporary
from providers.standard_webhooks import signed_headers
from providers.tools import Tools
from providers.transport import Answer, Transport, retry_after

# Besides 5xx: the receiver is not ready, not the request wrong.
LATER = {408: "timeout", 425: "too_early", 429: "throttled"}


class Webhook(Provider):
    """Receivers tell messages apart by `webhook-id`, which stays the same when a delivery is tried again: a repetition
    is harmless, and so this is `idempotent`. An answered 5xx is the receiver asking for that repetition: Temporary, to
    be tried until the type gives up. No answer at all is Unknown, and what follows is for the type's guarantee to say.
    Any other refusal, also of our signature (401, 403) and a redirect, is about this one endpoint: the person's."""

    name: ClassVar[str] = "webhook"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.WEBHOOK})
    has_circuit: ClassVar[bool] = False
    deadline: ClassVar[float] = 15.0
    idempotent: ClassVar[bool] = True

    def __init__(self, transport: Transport, secret: bytes) -> None:
        self._transport = transport
        self._secret = secret

    @classmethod
    def build(cls, tools: Tools) -> Self:
        return cls(tools.guarded, tools.secret)

    async def send(self, message: Message) -> Accepted | Refused:
        if not _is_web(message.address["url"]):
            return Refused(reason="invalid_address")
        body = body_of(message)
        answer = await self._transport.post(
            message.address["url"], headers=self._headers(message, body), content=body.encode()
        )
        return _outcome(answer, str(message.delivery_id))

    def _headers(self, message: Message, body: str) -> dict[str, str]:
        return signed_headers(str(message.delivery_id), body, [tenant_secret(self._secret, message.tenant)])


def tenant_secret(secret: bytes, tenant: UUID) -> str:
    """What the tenant's receivers verify with, derived from the installation's: `whsec_` and 32 bytes in base64."""
    derived = hmac.new(secret, b"webhook signing " + tenant.bytes, hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(derived).decode()}"


def body_of(message: Message) -> str:
    """Thin, and the same at every attempt: `data` is the rendered content and whom it is about."""
    data: Json = {
        "notification_id": str(message.notification_id),
        "recipient_id": message.recipient_id,
        **{name: message.content[name] for name in ("subject", "body") if name in message.content},
    }
    at = message.created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    whole: Json = {"type": message.notification_type, "timestamp": at, "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _is_web(url: str) -> bool:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def _outcome(answer: Answer, ident: str) -> Accepted | Refused:
    evidence = {"status": answer.status}
    if answer.is_2xx:
        return Accepted(message_id=ident, response=evidence)
    if answer.status in LATER or answer.status >= 500:
        reason = LATER.get(answer.status, "server_error")
        raise Temporary(reason, evidence, retry_after=retry_after(answer.headers))
    return Refused(reason=f"status_{answer.status}", response=evidence, gone=answer.status == 410)
