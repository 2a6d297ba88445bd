"""SendGrid: e-mail by its Web API, receipts by its signed Event Webhook.

The vendor's package builds the message and reads the key; our transport sends, because the package's own client has no
time-out.
"""

import base64
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import EmailStr, Field, SecretStr
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader
from sendgrid.helpers.mail import CustomArg, From, Header, Mail, To
from sendgrid.helpers.mail.exceptions import ApiKeyIncludedException

from config_sources import ProviderSettings, WrongSettings
from domain.channels import Channel
from domain.evidence import Evidence, ReceiptKind
from domain.outgoing import Message
from providers.base import ForgedReceipt, Provider, ProviderReceipt, UnreadableReceipt, reference_in
from providers.mail import refusal_of
from providers.outcomes import Accepted, LookupRefused, Permanent, Refused, Temporary
from providers.questions import asking, told_by
from providers.sendgrid_activity import REFERENCE, found, message_id_of, query_for, recipient_of
from providers.sendgrid_details import details_of
from providers.sendgrid_events import events_of, unreadable
from providers.sendgrid_reasons import receipt_reason
from providers.tools import Tools
from providers.transport import Answer, Transport, refuse_common, retry_after

SIGNATURE_HEADER = EventWebhookHeader.SIGNATURE.lower()
TIMESTAMP_HEADER = EventWebhookHeader.TIMESTAMP.lower()
# SendGrid names no window; this is the one of Standard Webhooks. A repeated callback changes nothing anyway.
TOLERANCE = 300
# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: the one success; 200 is that of its sandbox.
ACCEPTED = 202


class SendGridSettings(ProviderSettings, env_prefix="TOCSIN_SENDGRID_", validate_by_name=True):
    """`sender` is TOCSIN_SENDGRID_FROM. The public key is the Event Webhook's; without it no receipt is believed."""

    api_key: SecretStr
    sender: EmailStr = Field(alias="from")
    from_name: str = ""
    base_url: str = "https://api.sendgrid.com"
    webhook_public_key: str = ""


class SendGrid(Provider):
    name: ClassVar[str] = "sendgrid"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.EMAIL})
    lookup: ClassVar[str] = "positive_only"
    # https://www.twilio.com/docs/sendgrid/ui/analytics-and-reporting/email-activity-feed: a snapshot, and no lag is
    # named. Its events come by webhook at once; what is not there after ten minutes is in doubt.
    settle_window: ClassVar[float] = 600.0
    parses_receipts: ClassVar[bool] = True
    # Opens and clicks only of types that leave tracking to the account.
    reports_up_to: ClassVar[Evidence] = Evidence.DELIVERED
    # https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook: up to 768 KB at
    # once, lost after 24 hours of refusals. An event with our reference has at least 200 bytes.
    max_events: ClassVar[int] = 5_000
    settings: ClassVar[type[ProviderSettings]] = SendGridSettings

    # https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event#events
    # `processed` and `deferred` say nothing new: it has been accepted, and it has not arrived.
    KINDS: ClassVar[Mapping[str, ReceiptKind]] = {
        "delivered": ReceiptKind.DELIVERED,
        "open": ReceiptKind.OPENED,
        "click": ReceiptKind.CLICKED,
        "bounce": ReceiptKind.BOUNCED,
        "dropped": ReceiptKind.FAILED,
        "spamreport": ReceiptKind.COMPLAINED,
        "unsubscribe": ReceiptKind.UNSUBSCRIBED,
        "group_unsubscribe": ReceiptKind.UNSUBSCRIBED,
        "group_resubscribe": ReceiptKind.RESUBSCRIBED,
    }

    def __init__(self, settings: SendGridSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._api = f"{settings.base_url.rstrip('/')}/v3"
        self._headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"}
        self._key = public_key(settings.webhook_public_key.strip())

    @classmethod
    def build(cls, tools: Tools) -> Self:
        return cls(tools.load(SendGridSettings), tools.transport)

    def content_refusal(self, content: Mapping[str, Any]) -> Refused | None:
        return refusal_of(content)

    async def send(self, message: Message) -> Accepted | Refused:
        # It accepts one and then drops the mail as invalid: https://github.com/sendgrid/sendgrid-csharp/issues/656
        if not recipient_of(message).isascii():
            return Refused(reason="international_address_not_supported")
        if refusal := self.content_refusal(message.content):
            return refusal
        try:
            mail = self._mail(message)
        except ApiKeyIncludedException:
            return Refused(reason="contains_api_key")
        answer = await self._transport.post(f"{self._api}/mail/send", headers=self._headers, json=mail)
        if answer.status == ACCEPTED:
            return Accepted(message_id=answer.headers.get("x-message-id"), response={"status": answer.status})
        return self._refusal(answer)

    def _mail(self, message: Message) -> dict[str, Any]:
        mail = Mail(
            from_email=From(self._settings.sender, self._settings.from_name or None),
            to_emails=To(recipient_of(message)),
            subject=message.content["subject"],
            plain_text_content=message.content.get("text") or None,
            html_content=message.content.get("html") or None,
        )
        # Of the delivery: mail programs show a mail that had to be sent again once.
        mail.add_header(Header("Message-ID", f"<{message.delivery_id}@{self._settings.sender.rpartition('@')[2]}>"))
        mail.add_custom_arg(CustomArg(REFERENCE, str(message.attempt_id)))
        built: dict[str, Any] = mail.get() | details_of(message)
        return built

    async def check(self) -> str:
        """A good key may lack the right to send: https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions"""
        async with asking(self.deadline):
            told = told_by(await self._transport.get(f"{self._api}/scopes", headers=self._headers))
        scopes = told.get("scopes")
        if not isinstance(scopes, list) or "mail.send" not in scopes:
            raise Permanent("scope_mail_send_missing")
        return "the API key is good, and may send mail"

    async def look_up(self, message: Message, since: datetime) -> list[Accepted]:
        async with asking(self.deadline):
            url, params = f"{self._api}/messages", query_for(message)
            answer = await self._transport.get(url, headers=self._headers, params=params)
            if answer.status == 403:
                raise LookupRefused("email_activity_not_available", {"status": answer.status})
            return found(told_by(answer), message)

    def _refusal(self, answer: Answer) -> Refused:
        """https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors and, for statuses,
        https://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html. A 400 that blames neither the recipient nor
        the sender is about this message: another try gets the same answer, other messages pass."""
        fields = fields_of(answer)
        evidence = {"status": answer.status, "fields": fields}
        if answer.status == 429:
            raise Temporary("throttled", evidence, retry_after=retry_after(answer.headers) or until_reset(answer))
        if answer.status == 503:
            raise Temporary("unavailable", evidence, retry_after=retry_after(answer.headers))
        refuse_common(answer)
        if answer.status == 413:
            return Refused(reason="too_large", response=evidence)
        if answer.status != 400:
            raise Permanent("unexpected_answer", evidence)
        if any(field.startswith("from") for field in fields):
            raise Permanent("sender_refused", evidence)
        about_recipient = any(field.startswith("personalizations") and ".to" in field for field in fields)
        return Refused(reason="invalid_address" if about_recipient else "bad_request", response=evidence)

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        self._verify(headers.get(TIMESTAMP_HEADER, ""), headers.get(SIGNATURE_HEADER, ""), body)
        events = events_of(body)
        read = [self._read(event) for event in events]
        if not any(read):
            raise UnreadableReceipt("not a list of events")
        return [receipt or unreadable(event) for event, receipt in zip(events, read, strict=True)]

    def _read(self, event: Any) -> ProviderReceipt | None:
        """One that is not as documented does not cost the others of its callback."""
        try:
            return self._receipt(event)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
            return None

    def _verify(self, timestamp: str, signature: str, body: bytes) -> None:
        """Over the bytes as they came, the CRLF at their end included; the package's own check wants text."""
        if self._key is None:
            raise ForgedReceipt("TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY is not set")
        if not signature:
            raise ForgedReceipt("there is no signature")
        try:
            self._key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + body, ECDSA(SHA256()))
            age = time.time() - int(timestamp[:12])
        except (InvalidSignature, ValueError) as error:
            raise ForgedReceipt("the signature does not match") from error
        if abs(age) > TOLERANCE:
            raise ForgedReceipt("the timestamp is more than five minutes away from our clock")

    def _receipt(self, event: dict[str, Any]) -> ProviderReceipt:
        kind = self.KINDS.get(event["event"], ReceiptKind.UNKNOWN)
        message_id = message_id_of(event.get("sg_message_id"))
        return ProviderReceipt(
            kind=kind,
            occurred_at=datetime.fromtimestamp(event["timestamp"], UTC),
            attempt_id=reference_in(str(event.get(REFERENCE))),
            provider_message_id=message_id,
            reason=receipt_reason(event, kind),
            # A repeated event has a new id: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
            raw={name: value for name, value in event.items() if name not in ("sg_event_id", "sg_message_id")}
            | {"sg_message_id": message_id},
        )


def public_key(text: str) -> EllipticCurvePublicKey | None:
    try:
        key = EventWebhook(text).public_key
    except ValueError:
        key = text
    if key and not isinstance(key, EllipticCurvePublicKey):
        raise WrongSettings("TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY is not the key that SendGrid shows")
    return key or None


def fields_of(answer: Answer) -> list[str]:
    """Which fields of the request the errors name; their messages may quote the person."""
    errors = answer.json().get("errors")
    named = [error.get("field") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return [field[:100] for field in named if isinstance(field, str)][:20]


def until_reset(answer: Answer) -> float | None:
    """https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits: a Unix time."""
    value = answer.headers.get("x-ratelimit-reset", "")
    return min(max(1.0, int(value[:12]) - time.time()), 86_400.0) if value.isascii() and value.isdigit() else None
