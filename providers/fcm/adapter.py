"""Send push messages to Android, iOS and web apps through the FCM HTTP v1 API. FCM has no receipts.

The vendor's package builds the message (`message`). Tocsin's transport sends it, because the package's own client makes
four attempts in one call.
"""

import json
from collections.abc import Mapping
from typing import ClassVar, Self

from firebase_admin import credentials, messaging
from pydantic import SecretStr

from config.sources import InvalidSettings, ProviderSettings
from domain.channels import Channel, DeviceKind
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from domain.push_content import TOO_LARGE
from providers.access_tokens import AccessTokens
from providers.base import Provider
from providers.context import ProviderContext
from providers.fcm.message import encode_fitting, to_json
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.transport import Transport, VendorResponse, parse_retry_after, raise_common_errors
from providers.vendor_queries import parse_json, query_timeout

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
# A topic without subscribers.
CHECK_TOPIC = "tocsin-providers-check"


class FcmSettings(ProviderSettings, env_prefix="TOCSIN_FCM_"):
    """Hold the settings. `credentials` is the JSON file of the service account, as text; TOCSIN_FCM_CREDENTIALS_FILE is
    the path of that file.
    """

    credentials: SecretStr
    project_id: str = ""
    base_url: str = "https://fcm.googleapis.com"
    token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address


class Fcm(Provider):
    name: ClassVar[str] = "fcm"
    title: ClassVar[str] = "Firebase Cloud Messaging"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.PUSH})
    device_kinds: ClassVar[frozenset[DeviceKind]] = frozenset({DeviceKind.FCM})
    settings: ClassVar[type[ProviderSettings]] = FcmSettings

    # https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
    CREDENTIAL_ERRORS: ClassVar[Mapping[str, str]] = {
        "THIRD_PARTY_AUTH_ERROR": "apple_or_web_credentials_refused",
        "APNS_AUTH_ERROR": "apple_or_web_credentials_refused",
    }
    # https://firebase.google.com/docs/cloud-messaging/scale-fcm#handling-retries: one minute without Retry-After
    RETRYABLE_ERRORS: ClassVar[Mapping[str, tuple[str, float | None]]] = {
        "QUOTA_EXCEEDED": ("throttled", 60.0),
        "RESOURCE_EXHAUSTED": ("throttled", 60.0),
        "UNAVAILABLE": ("unavailable", None),
    }

    def __init__(self, settings: FcmSettings, transport: Transport) -> None:
        account = load_account(settings)
        self._transport = transport
        self._tokens = AccessTokens(account, SCOPE, settings.token_url, transport)
        self._project = settings.project_id or account.project_id
        self._url = f"{settings.base_url.rstrip('/')}/v1/projects/{self._project}/messages:send"

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(FcmSettings), context.transport)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        request = encode_fitting(message)
        if request is None:
            return ProviderRefusal(reason=TOO_LARGE)
        http_response = await self._post({"message": request})
        return http_response.parse_acceptance(200, "name") or self._parse_refusal(http_response)

    async def check(self) -> str:
        """Send a dry run to a topic, which needs the token, the project and the permission to send to it.

        A dry run to an invented device would not succeed:
        https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
        """
        title = messaging.Notification(title="Tocsin")
        dry_run = {"message": to_json(messaging.Message(topic=CHECK_TOPIC, notification=title)), "validate_only": True}
        async with query_timeout(self.deadline):
            http_response = await self._post(dry_run)
            if not http_response.is_2xx:
                raise PermanentError(self._parse_refusal(http_response).reason, {"status": http_response.status})
            parse_json(http_response)
        return f"the service account may send for the project {self._project}: a dry run passed"

    async def _post(self, body: Json) -> VendorResponse:
        token = await self._tokens.get_token()
        http_response = await self._transport.post(self._url, headers={"Authorization": f"Bearer {token}"}, json=body)
        if http_response.status == 401 and "THIRD_PARTY_AUTH_ERROR" not in parse_error(http_response)[0]:
            stale = not self._tokens.is_new(token)
            self._tokens.invalidate(token)
            if stale:
                raise TemporaryError("token_expired", {"status": http_response.status})
        return http_response

    def _parse_refusal(self, http_response: VendorResponse) -> ProviderRefusal:
        """Mark the device as gone only where the vendor reports its token as dead. Any other 400 is about the
        message.
        """
        codes, fields = parse_error(http_response)
        evidence = {"status": http_response.status, "codes": codes, "fields": fields}
        if http_response.status == 404 and "UNREGISTERED" in codes:
            return ProviderRefusal(reason="unregistered", response=evidence, is_gone=True)
        if "SENDER_ID_MISMATCH" in codes:
            return ProviderRefusal(reason="sender_mismatch", response=evidence)
        for code in codes:
            if code in self.CREDENTIAL_ERRORS:
                raise PermanentError(self.CREDENTIAL_ERRORS[code], evidence)
            if code in self.RETRYABLE_ERRORS and http_response.status in (429, 503):
                reason, default_delay = self.RETRYABLE_ERRORS[code]
                raise TemporaryError(
                    reason, evidence, retry_after=parse_retry_after(http_response.headers) or default_delay
                )
        raise_common_errors(http_response)
        if http_response.status != 400:
            raise PermanentError("unexpected_answer", evidence)
        is_gone = "message.token" in fields
        return ProviderRefusal(reason="invalid_token" if is_gone else "bad_request", response=evidence, is_gone=is_gone)


def load_account(settings: FcmSettings) -> credentials.Certificate:
    """Load the service account. The InvalidSettings error never quotes the key."""
    try:
        return credentials.Certificate(json.loads(settings.credentials.get_secret_value()))
    except ValueError:
        raise InvalidSettings("TOCSIN_FCM_CREDENTIALS is not the JSON of a service account") from None


def parse_error(http_response: VendorResponse) -> tuple[list[str], list[str]]:
    """Return the error codes, most specific first, and the request fields that the error names."""
    error = http_response.json().get("error")
    error = error if isinstance(error, dict) else {}
    details = [detail for detail in error.get("details") or [] if isinstance(detail, dict)]
    codes = [*(detail.get("errorCode") for detail in details), error.get("status")]
    violations = [each for detail in details for each in detail.get("fieldViolations") or [] if isinstance(each, dict)]
    fields = [each.get("field") for each in violations]
    return [code for code in codes if isinstance(code, str)], [field for field in fields if isinstance(field, str)]
