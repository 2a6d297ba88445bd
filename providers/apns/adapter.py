"""Send push messages to Apple devices through APNs, over HTTP/2. APNs has no receipts."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Self
from urllib.parse import quote
from uuid import UUID

from pydantic import SecretStr

from config.sources import ProviderSettings
from domain.channels import Channel, DeviceKind
from domain.failure_reasons import ReasonCategory, category_of_code
from domain.notification_types import URGENT_PRIORITY
from domain.outgoing_messages import OutgoingMessage
from domain.push_content import TOO_LARGE
from providers.apns.payload import build_payload
from providers.apns.reasons import REASONS, find_gone_since
from providers.apns.tokens import ProviderTokens, read_private_key
from providers.base import Provider
from providers.context import ProviderContext
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.transport import Transport, VendorResponse, parse_retry_after, raise_common_errors
from providers.vendor_queries import query_timeout

# https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
HOSTS = {"production": "https://api.push.apple.com", "sandbox": "https://api.sandbox.push.apple.com"}
# APNs stores a message for at most 30 days. It does not document what a missing `apns-expiration` means.
MAX_TTL = timedelta(days=30)
# Seconds. APNs documents no Retry-After.
RETRY_DELAY = 60.0
# No device has this token: APNs refuses it after it has accepted the credentials.
CHECK_TOKEN = "0" * 64


class Environment(StrEnum):
    PRODUCTION = "production"
    SANDBOX = "sandbox"


class ApnsSettings(ProviderSettings, env_prefix="TOCSIN_APNS_"):
    """`private_key` is the text of Apple's .p8 file, `topic` the bundle id of the app. `base_url` replaces the host of
    the environment.
    """

    team_id: str
    key_id: str
    private_key: SecretStr
    topic: str
    environment: Environment = Environment.PRODUCTION
    base_url: str = ""

    def problems(self) -> Iterator[str]:
        try:
            read_private_key(self.private_key.get_secret_value())
        except ValueError as error:
            yield f"TOCSIN_APNS_PRIVATE_KEY: {error}"


class Apns(Provider):
    name: ClassVar[str] = "apns"
    title: ClassVar[str] = "Apple Push Notification service"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.PUSH})
    device_kinds: ClassVar[frozenset[DeviceKind]] = frozenset({DeviceKind.APNS})
    settings: ClassVar[type[ProviderSettings]] = ApnsSettings

    def __init__(self, settings: ApnsSettings, transport: Transport) -> None:
        key = read_private_key(settings.private_key.get_secret_value())
        self._settings = settings
        self._transport = transport
        self._tokens = ProviderTokens(settings.team_id, settings.key_id, key)
        self._url = (settings.base_url or HOSTS[settings.environment]).rstrip("/")

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(ApnsSettings), context.http2_transport)

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return None if build_payload(dict(content), UUID(int=0)) else ProviderRefusal(reason=TOO_LARGE)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        payload = build_payload(message.content, message.notification_id)
        if payload is None:
            return ProviderRefusal(reason=TOO_LARGE)
        response, token = await self._post(message.address["token"], build_headers(message), payload)
        message_id = response.headers.get("apns-id")
        if response.status == 200 and (message_id or response.is_truncated):
            return ProviderAcceptance(message_id=message_id, response={"status": response.status})
        return self._parse_refusal(response, token)

    async def check(self) -> str:
        """Send to a token that no device has. APNs refuses it only after it has accepted the credentials."""
        async with query_timeout(self.deadline):
            response, token = await self._post(CHECK_TOKEN, {"apns-push-type": "alert"}, b'{"aps":{"alert":"Tocsin"}}')
            reason = find_reason(response)
            if response.status == 400 and not reason:
                raise TemporaryError("malformed_response", {"status": response.status})
            if reason != "BadDeviceToken":
                raise PermanentError(self._parse_refusal(response, token).reason, {"reason": reason})
        host = self._settings.environment
        return f"the {host} host accepts the key for the team {self._settings.team_id}, and refuses an invented device"

    async def _post(self, device: str, headers: Mapping[str, str], payload: bytes) -> tuple[VendorResponse, str]:
        """Return the response, and the provider token that was sent."""
        token = self._tokens.get_token()
        common = {"authorization": f"bearer {token}", "apns-topic": self._settings.topic}
        url = f"{self._url}/3/device/{quote(device, safe='')}"
        content_type = {"content-type": "application/json"}
        return await self._transport.post(url, headers={**common, **content_type, **headers}, content=payload), token

    def _parse_refusal(self, response: VendorResponse, token: str) -> ProviderRefusal:
        """Classify an error by its reason. Raise ProviderError unless it concerns this device or this message."""
        reason = find_reason(response)
        evidence = {"status": response.status, "reason": reason}
        code = REASONS.get(reason) if 400 <= response.status < 500 or response.status == 503 else None
        if reason == "ExpiredProviderToken" and not self._tokens.replace(token):
            raise PermanentError("credentials_refused", evidence)
        match category_of_code(code):
            case ReasonCategory.ACCOUNT:
                raise PermanentError(str(code), evidence)
            case ReasonCategory.UNREACHABLE:
                delay = None if code == "token_expired" else parse_retry_after(response.headers) or RETRY_DELAY
                raise TemporaryError(str(code), evidence, retry_after=delay)
            case None:
                raise_common_errors(response)
                raise PermanentError("unexpected_answer", evidence)
        gone_since = find_gone_since(response.json()) if response.status == 410 else None
        return ProviderRefusal(
            reason=str(code), response=evidence, is_gone=gone_since is not None, gone_since=gone_since
        )


def build_headers(message: OutgoingMessage) -> dict[str, str]:
    """Build the headers of a message. On the device, a second send of a delivery replaces the first (collapse id)."""
    expires_at = message.expires_at or message.created_at + MAX_TTL
    return {
        "apns-id": str(message.attempt_id),
        "apns-push-type": "alert",
        "apns-priority": "10" if message.priority <= URGENT_PRIORITY else "5",
        "apns-expiration": str(int(expires_at.timestamp())),
        "apns-collapse-id": str(message.delivery_id),
    }


def find_reason(response: VendorResponse) -> str:
    reason = response.json().get("reason")
    return reason if isinstance(reason, str) else ""
