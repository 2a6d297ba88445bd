"""Send webhooks to the URL of a recipient, signed according to Standard Webhooks.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar, Self
from uuid import UUID

import httpx2
import standardwebhooks

from domain.channels import Channel
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.context import ProviderContext
from providers.outcomes import ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.transport import Transport, VendorResponse, parse_retry_after

# Besides 5xx: the receiver is not ready; the request is not wrong.
RETRYABLE_STATUSES = {408: "timeout", 425: "too_early", 429: "throttled"}


class Webhook(Provider):
    """Deliver to the recipient's own endpoint.

    Receivers deduplicate by `webhook-id`, which stays the same when a delivery is retried, so the provider is
    `idempotent`. A 5xx response asks for a repetition: TemporaryError, retried until the type gives up. A missing
    response is UnknownOutcome, and the type's guarantee decides. Any other refusal, including of the signature (401,
    403) and a redirect, concerns this one endpoint of the recipient.
    """

    name: ClassVar[str] = "webhook"
    title: ClassVar[str] = "built in"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.WEBHOOK})
    has_circuit: ClassVar[bool] = False
    deadline: ClassVar[float] = 15.0
    idempotent: ClassVar[bool] = True

    def __init__(self, transport: Transport, secret: bytes) -> None:
        self._transport = transport
        self._secret = secret

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.guarded_transport, context.secret)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        if not _is_http_url(message.address["url"]):
            return ProviderRefusal(reason="invalid_address")
        body = build_body(message)
        http_response = await self._transport.post(
            message.address["url"], headers=self._headers(message, body), content=body.encode()
        )
        return _parse_outcome(http_response, str(message.delivery_id))

    def _headers(self, message: OutgoingMessage, body: str) -> dict[str, str]:
        return sign_headers(str(message.delivery_id), body, [derive_tenant_secret(self._secret, message.tenant)])


def derive_tenant_secret(secret: bytes, tenant: UUID) -> str:
    """Derive the secret that the tenant's receivers verify with: `whsec_` and 32 bytes in base64."""
    derived = hmac.new(secret, b"webhook signing " + tenant.bytes, hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(derived).decode()}"


def build_body(message: OutgoingMessage) -> str:
    """Build a small body, the same for every attempt: `data` is the rendered content and its recipient."""
    data: Json = {
        "notification_id": str(message.notification_id),
        "recipient_id": message.recipient_id,
        **{name: message.content[name] for name in ("subject", "body") if name in message.content},
    }
    timestamp = message.created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    envelope: Json = {"type": message.notification_type, "timestamp": timestamp, "data": data}
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))


def _is_http_url(url: str) -> bool:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def _parse_outcome(http_response: VendorResponse, webhook_id: str) -> ProviderAcceptance | ProviderRefusal:
    evidence = {"status": http_response.status}
    if http_response.is_2xx:
        return ProviderAcceptance(message_id=webhook_id, response=evidence)
    if http_response.status in RETRYABLE_STATUSES or http_response.status >= 500:
        reason = RETRYABLE_STATUSES.get(http_response.status, "server_error")
        raise TemporaryError(reason, evidence, retry_after=parse_retry_after(http_response.headers))
    return ProviderRefusal(
        reason=f"status_{http_response.status}", response=evidence, is_gone=http_response.status == 410
    )


def sign_headers(webhook_id: str, body: str, secrets: Iterable[str]) -> dict[str, str]:
    """Return the signature headers.

    `webhook_id` stays the same when a message is retried. There is one signature per secret, so that a receiver may
    have the new or the old secret during a rotation.
    """
    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "user-agent": "Tocsin",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            standardwebhooks.Webhook(secret).sign(webhook_id, now, body) for secret in secrets
        ),
    }
