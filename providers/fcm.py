"""Firebase Cloud Messaging: push to Android, iOS and web apps by its HTTP v1 API. It reports nothing afterwards.

The vendor's package builds the message; our transport sends, because the package's own client tries four times inside
one call.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self

from firebase_admin import credentials, messaging
from pydantic import SecretStr

from config_sources import ProviderSettings, WrongSettings
from domain.channels import Channel, DeviceKind
from domain.notification_types import URGENT
from domain.outgoing import Message
from providers.access_tokens import AccessTokens
from providers.base import Provider
from providers.outcomes import Accepted, Json, Permanent, Refused, Temporary
from providers.questions import asking, told_by
from providers.tools import Tools
from providers.transport import Answer, Transport, refuse_common, retry_after

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
# https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-lifespan
LONGEST_TTL = timedelta(weeks=4)
# Nobody subscribes to it.
CHECK_TOPIC = "tocsin-providers-check"


class FcmSettings(ProviderSettings, env_prefix="TOCSIN_FCM_"):
    """`credentials` is the service account's JSON file as text; TOCSIN_FCM_CREDENTIALS_FILE names the file itself."""

    credentials: SecretStr
    project_id: str = ""
    base_url: str = "https://fcm.googleapis.com"
    token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address


class Fcm(Provider):
    name: ClassVar[str] = "fcm"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.PUSH})
    device_kinds: ClassVar[frozenset[DeviceKind]] = frozenset({DeviceKind.FCM})
    settings: ClassVar[type[ProviderSettings]] = FcmSettings

    # https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
    BROKEN: ClassVar[Mapping[str, str]] = {
        "SENDER_ID_MISMATCH": "sender_mismatch",
        "THIRD_PARTY_AUTH_ERROR": "apple_or_web_credentials_refused",
        "APNS_AUTH_ERROR": "apple_or_web_credentials_refused",
    }
    # https://firebase.google.com/docs/cloud-messaging/scale-fcm#handling-retries: a minute, if no Retry-After is named
    THROTTLED: ClassVar[Mapping[str, tuple[str, float | None]]] = {
        "QUOTA_EXCEEDED": ("throttled", 60.0),
        "RESOURCE_EXHAUSTED": ("throttled", 60.0),
        "UNAVAILABLE": ("unavailable", None),
    }

    def __init__(self, settings: FcmSettings, transport: Transport) -> None:
        account = account_of(settings)
        self._transport = transport
        self._tokens = AccessTokens(account, SCOPE, settings.token_url, transport)
        self._project = settings.project_id or account.project_id
        self._url = f"{settings.base_url.rstrip('/')}/v1/projects/{self._project}/messages:send"

    @classmethod
    def build(cls, tools: Tools) -> Self:
        return cls(tools.load(FcmSettings), tools.transport)

    async def send(self, message: Message) -> Accepted | Refused:
        answer = await self._post({"message": encoded(message)})
        if answer.has(200, "name"):
            name = answer.json().get("name")
            return Accepted(message_id=str(name) if name else None, response={"status": answer.status})
        return self._refusal(answer)

    async def check(self) -> str:
        """A dry run to a topic: it needs the token, the project and the right to send to it, and ends in a yes, where
        one to a made-up device would not: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send"""
        title = messaging.Notification(title="Tocsin")
        dry_run = {"message": as_json(messaging.Message(topic=CHECK_TOPIC, notification=title)), "validate_only": True}
        async with asking(self.deadline):
            answer = await self._post(dry_run)
            if not answer.is_2xx:
                raise Permanent(self._refusal(answer).reason, {"status": answer.status})
            told_by(answer)
        return f"the service account may send for the project {self._project}: a dry run passed"

    async def _post(self, body: Json) -> Answer:
        token = await self._tokens.current()
        answer = await self._transport.post(self._url, headers={"Authorization": f"Bearer {token}"}, json=body)
        if answer.status == 401 and "THIRD_PARTY_AUTH_ERROR" not in said(answer)[0]:
            stale = not self._tokens.fresh
            self._tokens.forget(token)
            if stale:
                raise Temporary("token_expired", {"status": answer.status})
        return answer

    def _refusal(self, answer: Answer) -> Refused:
        """A device is forgotten only where the vendor says so of its token; all else about a 400 is our message."""
        words, fields = said(answer)
        evidence = {"status": answer.status, "codes": words, "fields": fields}
        if answer.status == 404 and "UNREGISTERED" in words:
            return Refused(reason="unregistered", response=evidence, gone=True)
        for word in words:
            if word in self.BROKEN:
                raise Permanent(self.BROKEN[word], evidence)
            if word in self.THROTTLED and answer.status in (429, 503):
                reason, least = self.THROTTLED[word]
                raise Temporary(reason, evidence, retry_after=retry_after(answer.headers) or least)
        refuse_common(answer)
        if answer.status != 400:
            raise Permanent("unexpected_answer", evidence)
        gone = "message.token" in fields
        return Refused(reason="invalid_token" if gone else "bad_request", response=evidence, gone=gone)


def encoded(message: Message) -> Json:
    """A second send of one delivery takes the place of the first on the device (tag, collapse id)."""
    push = messaging.Message(
        notification=messaging.Notification(title=message.content["title"], body=message.content["body"]),
        data={"notification_id": str(message.notification_id), "attempt_id": str(message.attempt_id)},
        android=android(message),
        apns=messaging.APNSConfig(headers=apns_headers(message)),
    )
    # Not in the constructor, which warns: registration tokens give way to installation ids, but apps still send them.
    push.token = message.address["token"]
    return as_json(push)


def android(message: Message) -> messaging.AndroidConfig:
    """`high` wakes a sleeping device: https://firebase.google.com/docs/cloud-messaging/android-message-priority"""
    return messaging.AndroidConfig(
        notification=messaging.AndroidNotification(tag=str(message.delivery_id)),
        priority="high" if message.priority <= URGENT else "normal",
        ttl=time_left(message),
    )


def time_left(message: Message) -> timedelta | None:
    """None leaves it to the vendor, which then keeps a message for four weeks."""
    if message.expires_at is None:
        return None
    return min(max(message.expires_at - datetime.now(UTC), timedelta()), LONGEST_TTL)


def apns_headers(message: Message) -> dict[str, str]:
    """https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns"""
    expires = {"apns-expiration": str(int(message.expires_at.timestamp()))} if message.expires_at else {}
    priority = "10" if message.priority <= URGENT else "5"
    return {"apns-collapse-id": str(message.delivery_id), "apns-priority": priority, **expires}


def as_json(push: messaging.Message) -> Json:
    """As text it is the package's own encoding."""
    built: Json = json.loads(str(push))
    return built


def account_of(settings: FcmSettings) -> credentials.Certificate:
    """WrongSettings never quotes the key."""
    try:
        return credentials.Certificate(json.loads(settings.credentials.get_secret_value()))
    except ValueError:
        raise WrongSettings("TOCSIN_FCM_CREDENTIALS is not the JSON of a service account") from None


def said(answer: Answer) -> tuple[list[str], list[str]]:
    """The words that an error goes by, most exact first, and the fields of the request that it names."""
    error = answer.json().get("error")
    error = error if isinstance(error, dict) else {}
    details = [detail for detail in error.get("details") or [] if isinstance(detail, dict)]
    words = [*(detail.get("errorCode") for detail in details), error.get("status")]
    violations = [each for detail in details for each in detail.get("fieldViolations") or [] if isinstance(each, dict)]
    fields = [each.get("field") for each in violations]
    return [word for word in words if isinstance(word, str)], [field for field in fields if isinstance(field, str)]
