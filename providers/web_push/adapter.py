"""Send messages to browsers by the Web Push protocol (RFC 8030), without a vendor: each browser names its push service.

Push services report nothing after acceptance. The service worker of the site reports what the browser did to the URL
that the message carries (`web/push_reports.py`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

import httpx2

from config.sources import ProviderSettings
from domain.channels import Channel, DeviceKind
from domain.evidence import Evidence
from domain.outgoing_messages import OutgoingMessage
from domain.push_content import TOO_LARGE
from providers.base import Provider
from providers.context import ProviderContext
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.transport import Transport, VendorResponse, parse_retry_after, raise_common_errors
from providers.web_push.base64url import encode_base64url
from providers.web_push.encryption import InvalidKeys, encrypt
from providers.web_push.payload import build_payload, fit
from providers.web_push.settings import WebPushSettings
from providers.web_push.vapid import Vapid

# The longest time that FCM, the push service of Chrome, stores a message. Others shorten what is too long for them:
# https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-lifespan
MAX_TTL = timedelta(weeks=4)
# Created; 202 if the push service also sends receipts: https://www.rfc-editor.org/rfc/rfc8030#section-5
ACCEPTED_STATUSES = (201, 202)
SCHEMES = ("http", "https")


class WebPush(Provider):
    """A failing endpoint proves nothing about others, whose push service is another one, so there is no circuit."""

    name: ClassVar[str] = "web_push"
    title: ClassVar[str] = "the W3C standard, without a vendor"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.WEB_PUSH})
    device_kinds: ClassVar[frozenset[DeviceKind]] = frozenset({DeviceKind.WEB_PUSH})
    has_circuit: ClassVar[bool] = False
    max_evidence: ClassVar[Evidence] = Evidence.CLICKED
    settings: ClassVar[type[ProviderSettings]] = WebPushSettings

    # https://www.rfc-editor.org/rfc/rfc8030#section-5.3
    URGENCIES: ClassVar[Mapping[int, str]] = {1: "high", 2: "high", 3: "normal", 4: "low", 5: "very-low"}
    # https://www.rfc-editor.org/rfc/rfc8030#section-7.3: the subscription does not exist, or not any more.
    GONE_STATUSES: ClassVar[frozenset[int]] = frozenset({404, 410})
    # 406 of Microsoft: https://learn.microsoft.com/windows/apps/design/shell/tiles-and-notifications/push-request-response-headers
    # 503 of Mozilla: https://mozilla-services.github.io/autopush-rs/errors.html
    RETRYABLE_STATUSES: ClassVar[Mapping[int, str]] = {406: "throttled", 503: "unavailable"}
    # Words in a 400 about the key, of FCM and Apple:
    # https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers
    KEY_ERRORS: ClassVar[tuple[bytes, ...]] = (b"UnauthorizedRegistration", b"VapidPkHashMismatch", b"BadJwtToken")

    def __init__(self, settings: WebPushSettings, transport: Transport) -> None:
        self._vapid = Vapid(settings.private_key.get_secret_value(), settings.subject)
        self._transport = transport

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(WebPushSettings), context.guarded_transport)

    @property
    def public_key(self) -> str:
        """Return the key that browsers subscribe with."""
        return self._vapid.public_key

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        subscription = message.address["subscription"]
        origin, payload = find_origin(subscription["endpoint"]), build_payload(message)
        if origin is None:
            return ProviderRefusal(reason="invalid_address")
        if isinstance(payload, ProviderRefusal):
            return payload
        try:
            body = encrypt(payload, subscription["keys"])
        except InvalidKeys:
            return ProviderRefusal(reason="invalid_token")
        http_response = await self._transport.post(
            subscription["endpoint"], headers=self._headers(message, origin), content=body
        )
        return self._parse_outcome(http_response, message)

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return None if fit(dict(content), {}) else ProviderRefusal(reason=TOO_LARGE)

    def _headers(self, message: OutgoingMessage, origin: str) -> dict[str, str]:
        """Build the headers. The topic replaces an undelivered message of the same delivery."""
        return {
            "Authorization": self._vapid.authorization(origin),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(int(remaining_ttl(message).total_seconds())),
            "Urgency": self.URGENCIES[message.priority],
            "Topic": encode_base64url(message.delivery_id.bytes),
        }

    def _parse_outcome(
        self, http_response: VendorResponse, message: OutgoingMessage
    ) -> ProviderAcceptance | ProviderRefusal:
        status, evidence = http_response.status, {"status": http_response.status}
        if status in ACCEPTED_STATUSES:
            # The last part only: the whole URL suffices to delete the message.
            name = http_response.headers.get("location", "").rstrip("/").rpartition("/")[2]
            return ProviderAcceptance(message_id=name or str(message.attempt_id), response=evidence)
        if status in self.GONE_STATUSES:
            return ProviderRefusal(reason="unregistered", response=evidence, is_gone=True)
        if status == 413:
            return ProviderRefusal(reason=TOO_LARGE, response=evidence)
        if status in self.RETRYABLE_STATUSES:
            delay = parse_retry_after(http_response.headers)
            raise TemporaryError(self.RETRYABLE_STATUSES[status], evidence, retry_after=delay)
        if status in (401, 403) or (status == 400 and any(word in http_response.body for word in self.KEY_ERRORS)):
            return ProviderRefusal(reason="sender_mismatch", response=evidence)
        if status == 400:
            return ProviderRefusal(reason="bad_request", response=evidence)
        if status != 402:  # any server can be an endpoint; a 402 proves nothing about our account
            raise_common_errors(http_response)
        raise PermanentError("unexpected_answer", evidence)


def find_origin(endpoint: str) -> str | None:
    """Return the origin of the push service, as a token names it (RFC 6454); None for an invalid URL."""
    try:
        url = httpx2.URL(endpoint)
    except httpx2.InvalidURL:
        return None
    if url.scheme not in SCHEMES or not url.host:
        return None
    host = url.raw_host.decode()
    host = f"[{host}]" if ":" in host else host
    port = f":{url.port}" if url.port else ""  # None for the port of the scheme
    return f"{url.scheme}://{host}{port}"


def remaining_ttl(message: OutgoingMessage) -> timedelta:
    """Return how long the push service may store the message for a browser that is not connected."""
    if message.expires_at is None:
        return MAX_TTL
    return min(max(message.expires_at - datetime.now(UTC), timedelta()), MAX_TTL)
