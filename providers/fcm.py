"""Firebase Cloud Messaging: push to Android, iOS and web apps by its HTTP v1 API. It reports nothing afterwards.

The vendor's packages build the message and sign for a token; our transport sends, because the package's own client
tries four times inside one call.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from firebase_admin import credentials, messaging
from google.auth import jwt
from pydantic import SecretStr

from config import ProviderSettings
from domain.channels import Channel, DeviceKind
from domain.outgoing import Message
from providers.base import Provider
from providers.outcomes import Accepted, Permanent, Refused, Temporary, Unknown
from providers.tools import Tools
from providers.transport import Answer, Transport, refuse_common, retry_after

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# Well inside the call's deadline, so that a token that does not come is known to have sent nothing.
TOKEN_DEADLINE = 5.0
RENEW_BEFORE = 300


class FcmSettings(ProviderSettings, env_prefix="TOCSIN_FCM_"):
    """`credentials` is the service account's JSON file as text; TOCSIN_FCM_CREDENTIALS_FILE names the file itself."""

    credentials: SecretStr
    project_id: str = ""
    base_url: str = "https://fcm.googleapis.com"
    token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address


class AccessTokens:
    """One at a time, kept until shortly before it ends: https://developers.google.com/identity/protocols/oauth2/service-account"""

    def __init__(self, account: credentials.Certificate, url: str, transport: Transport) -> None:
        self._account = account
        self._url = url
        self._transport = transport
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    async def current(self) -> str:
        """Raises Temporary or Permanent, never Unknown: no message has left."""
        try:
            async with asyncio.timeout(TOKEN_DEADLINE), self._lock:
                if time.monotonic() >= self._renew_at:
                    await self._renew()
                return self._token
        except (TimeoutError, Unknown) as error:
            raise Temporary("token_unavailable") from error

    def forget(self, token: str) -> None:
        if token == self._token:
            self._renew_at = 0.0

    async def _renew(self) -> None:
        answer = await self._transport.post(self._url, data={"grant_type": GRANT, "assertion": self._assertion()})
        if 400 <= answer.status < 404:
            raise Permanent("credentials_refused", {"status": answer.status})
        told = answer.json()
        token, lasts = told.get("access_token"), told.get("expires_in")
        if not answer.accepted or not isinstance(token, str) or not isinstance(lasts, int):
            raise Temporary("token_unavailable", {"status": answer.status}, retry_after=retry_after(answer.headers))
        self._token, self._renew_at = token, time.monotonic() + lasts - RENEW_BEFORE

    def _assertion(self) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {"iss": self._account.service_account_email, "scope": SCOPE, "aud": self._url}
        claims |= {"iat": now, "exp": now + 3600}
        signed: bytes = jwt.encode(self._account.signer, claims)  # type: ignore[no-untyped-call]
        return signed.decode()


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
        self._tokens = AccessTokens(account, settings.token_url, transport)
        project = settings.project_id or account.project_id
        self._url = f"{settings.base_url.rstrip('/')}/v1/projects/{project}/messages:send"

    @classmethod
    def build(cls, tools: Tools) -> Self:
        return cls(tools.load(FcmSettings), tools.transport)

    async def send(self, message: Message) -> Accepted | Refused:
        token = await self._tokens.current()
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self._transport.post(self._url, headers=headers, json={"message": encoded(message)})
        if answer.accepted:
            name = answer.json().get("name")
            return Accepted(message_id=str(name) if name else None, response={"status": answer.status})
        if answer.status == 401:
            self._tokens.forget(token)
        return self._refusal(answer)

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


def encoded(message: Message) -> dict[str, Any]:
    """A second send of one delivery takes the place of the first on the device (tag, collapse id)."""
    delivery = str(message.delivery_id)
    push = messaging.Message(
        notification=messaging.Notification(title=message.content["title"], body=message.content["body"]),
        data={"notification_id": str(message.notification_id), "attempt_id": str(message.attempt_id)},
        android=messaging.AndroidConfig(notification=messaging.AndroidNotification(tag=delivery)),
        apns=messaging.APNSConfig(headers={"apns-collapse-id": delivery}),
    )
    # Not in the constructor, which warns: registration tokens give way to installation ids, but apps still send them.
    push.token = message.address["token"]
    # As text it is the package's own encoding.
    built: dict[str, Any] = json.loads(str(push))
    return built


def account_of(settings: FcmSettings) -> credentials.Certificate:
    """ValueError never quotes the key."""
    try:
        return credentials.Certificate(json.loads(settings.credentials.get_secret_value()))
    except ValueError:
        raise ValueError("TOCSIN_FCM_CREDENTIALS is not the JSON of a service account") from None


def said(answer: Answer) -> tuple[list[str], list[str]]:
    """The words that an error goes by, most exact first, and the fields of the request that it names."""
    error = answer.json().get("error")
    error = error if isinstance(error, dict) else {}
    details = [detail for detail in error.get("details") or [] if isinstance(detail, dict)]
    words = [*(detail.get("errorCode") for detail in details), error.get("status")]
    violations = [each for detail in details for each in detail.get("fieldViolations") or [] if isinstance(each, dict)]
    fields = [each.get("field") for each in violations]
    return [word for word in words if isinstance(word, str)], [field for field in fields if isinstance(field, str)]
