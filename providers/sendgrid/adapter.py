"""Send email through SendGrid's Web API and parse the receipts of its signed Event Webhook.

The vendor's package builds the message and reads the key. Tocsin's transport sends it, because the package's own client
has no timeout.
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
from sendgrid.helpers.mail import CustomArg, From, Mail, To
from sendgrid.helpers.mail.exceptions import ApiKeyIncludedException

from config.sources import InvalidSettings, ProviderSettings
from domain.channels import Channel
from domain.evidence import Evidence, ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, Provider, ProviderReceipt, UnreadableReceipt, parse_reference
from providers.context import ProviderContext
from providers.email_fields import email_of, find_refusal, is_about_copy, sender_of
from providers.outcomes import LookupRefused, PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.sendgrid.lookup import REFERENCE, build_query, message_id_of, parse_matches
from providers.sendgrid.options import COPY_DIGEST, add_options
from providers.sendgrid.reasons import receipt_reason
from providers.sendgrid.receipts import build_unreadable_receipt, parse_events
from providers.transport import Transport, VendorResponse, parse_retry_after, raise_common_errors
from providers.vendor_queries import parse_json, query_timeout

SIGNATURE_HEADER = EventWebhookHeader.SIGNATURE.lower()
TIMESTAMP_HEADER = EventWebhookHeader.TIMESTAMP.lower()
# SendGrid documents no time window; this is the one of Standard Webhooks. A repeated callback has no effect anyway.
TIMESTAMP_TOLERANCE = 300
# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: the only success; 200 is that of its sandbox.
ACCEPTED_STATUS = 202


class SendGridSettings(ProviderSettings, env_prefix="TOCSIN_SENDGRID_", validate_by_name=True):
    """Hold the settings. `sender` is TOCSIN_SENDGRID_FROM. Without the public key of the Event Webhook, every receipt
    is refused.
    """

    api_key: SecretStr
    sender: EmailStr = Field(alias="from")
    from_name: str = ""
    base_url: str = "https://api.sendgrid.com"
    webhook_public_key: str = ""


class SendGrid(Provider):
    name: ClassVar[str] = "sendgrid"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.EMAIL})
    lookup: ClassVar[str] = "positive_only"
    # https://www.twilio.com/docs/sendgrid/ui/analytics-and-reporting/email-activity-feed: a snapshot without a
    # documented lag. Its events arrive by webhook at once; a message that is missing after ten minutes is in doubt.
    settle_window: ClassVar[float] = 600.0
    parses_receipts: ClassVar[bool] = True
    # Opens and clicks are reported only for types that leave tracking to the account.
    max_evidence: ClassVar[Evidence] = Evidence.DELIVERED
    # https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook: up to 768 KB
    # per callback, dropped after 24 hours of refusals. An event with an attempt id has at least 200 bytes.
    max_events: ClassVar[int] = 5_000
    settings: ClassVar[type[ProviderSettings]] = SendGridSettings

    # https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event#events `processed` adds
    # nothing: the message was accepted and has not arrived.
    RECEIPT_KINDS: ClassVar[Mapping[str, ReceiptKind]] = {
        "deferred": ReceiptKind.DELAYED,
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
        self._key = load_public_key(settings.webhook_public_key.strip())

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(SendGridSettings), context.transport)

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return find_refusal(content)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        if not email_of(message).isascii():
            return ProviderRefusal(reason="international_address_not_supported")
        # SendGrid accepts an empty subject and then drops the email as invalid:
        # https://github.com/sendgrid/sendgrid-csharp/issues/656
        if refusal := self.content_refusal(message.content):
            return refusal
        try:
            mail = self._build_mail(message)
        except ApiKeyIncludedException:
            return ProviderRefusal(reason="contains_api_key")
        http_response = await self._transport.post(f"{self._api}/mail/send", headers=self._headers, json=mail)
        if http_response.status == ACCEPTED_STATUS:
            return ProviderAcceptance(
                message_id=http_response.headers.get("x-message-id"), response={"status": http_response.status}
            )
        return self._parse_refusal(http_response)

    def _build_mail(self, message: OutgoingMessage) -> dict[str, Any]:
        sender = sender_of(message, self._settings.sender, self._settings.from_name)
        mail = Mail(
            from_email=From(sender.email, sender.name or None),
            to_emails=To(email_of(message)),
            subject=message.content["subject"],
            plain_text_content=message.content.get("text") or None,
            html_content=message.content.get("html") or None,
        )
        mail.add_custom_arg(CustomArg(REFERENCE, str(message.attempt_id)))
        built: dict[str, Any] = mail.get()
        return add_options(built, message, sender)

    async def check(self) -> str:
        """Read the scopes of the key. A valid key may lack the permission to send:
        https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions
        """
        async with query_timeout(self.deadline):
            response_body = parse_json(await self._transport.get(f"{self._api}/scopes", headers=self._headers))
        scopes = response_body.get("scopes")
        if not isinstance(scopes, list) or "mail.send" not in scopes:
            raise PermanentError("scope_mail_send_missing")
        return "the API key is valid and may send mail"

    async def look_up(self, message: OutgoingMessage, since: datetime) -> list[ProviderAcceptance]:
        async with query_timeout(self.deadline):
            url, params = f"{self._api}/messages", build_query(message)
            http_response = await self._transport.get(url, headers=self._headers, params=params)
            if http_response.status == 403:
                raise LookupRefused("email_activity_not_available", {"status": http_response.status})
            return parse_matches(parse_json(http_response), message)

    def _parse_refusal(self, http_response: VendorResponse) -> ProviderRefusal:
        """Parse a refusal.

        https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors and, for statuses,
        https://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html. A 400 that names neither the recipient nor
        the sender is about this message: a retry gets the same response, and other messages pass.
        """
        fields = parse_error_fields(http_response)
        evidence = {"status": http_response.status, "fields": fields}
        if http_response.status == 429:
            raise TemporaryError(
                "throttled",
                evidence,
                retry_after=parse_retry_after(http_response.headers) or parse_reset_delay(http_response),
            )
        if http_response.status == 503:
            raise TemporaryError("unavailable", evidence, retry_after=parse_retry_after(http_response.headers))
        raise_common_errors(http_response)
        if http_response.status == 413:
            return ProviderRefusal(reason="too_large", response=evidence)
        if http_response.status != 400:
            raise PermanentError("unexpected_answer", evidence)
        if any(field.startswith("from") for field in fields):
            raise PermanentError("sender_refused", evidence)
        about_recipient = any(field.startswith("personalizations") and ".to" in field for field in fields)
        return ProviderRefusal(reason="invalid_address" if about_recipient else "bad_request", response=evidence)

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        self._verify(headers.get(TIMESTAMP_HEADER, ""), headers.get(SIGNATURE_HEADER, ""), body)
        events = parse_events(body)
        receipts = [self._try_parse_event(event) for event in events]
        if not any(receipts):
            raise UnreadableReceipt("the body is not a list of events")
        return [receipt or build_unreadable_receipt(event) for event, receipt in zip(events, receipts, strict=True)]

    def _try_parse_event(self, event: Any) -> ProviderReceipt | None:
        """Parse one event. An undocumented event does not fail the other events of its callback."""
        try:
            return self._parse_event(event)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
            return None

    def _verify(self, timestamp: str, signature: str, body: bytes) -> None:
        """Verify the signature over the raw bytes, including the CRLF at their end. The package's own check expects
        text.
        """
        if self._key is None:
            raise ForgedReceipt("TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY is not set")
        if not signature:
            raise ForgedReceipt("the signature is missing")
        try:
            self._key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + body, ECDSA(SHA256()))
            age = time.time() - int(timestamp[:12])
        except (InvalidSignature, ValueError) as error:
            raise ForgedReceipt("the signature does not match") from error
        if abs(age) > TIMESTAMP_TOLERANCE:
            raise ForgedReceipt("the timestamp differs by more than five minutes from the clock of this machine")

    def _parse_event(self, event: dict[str, Any]) -> ProviderReceipt:
        attempt_id = parse_reference(str(event.get(REFERENCE)))
        kind = self.RECEIPT_KINDS.get(event["event"], ReceiptKind.UNKNOWN)
        if is_about_copy(attempt_id, event.get("email"), event.get(COPY_DIGEST)):
            kind = ReceiptKind.UNKNOWN
        message_id = message_id_of(event.get("sg_message_id"))
        return ProviderReceipt(
            kind=kind,
            occurred_at=datetime.fromtimestamp(event["timestamp"], UTC),
            attempt_id=attempt_id,
            provider_message_id=message_id,
            reason=receipt_reason(event, kind),
            # A repeated event has a new id: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
            raw={name: value for name, value in event.items() if name not in ("sg_event_id", "sg_message_id")}
            | {"sg_message_id": message_id},
        )


def load_public_key(text: str) -> EllipticCurvePublicKey | None:
    try:
        key = EventWebhook(text).public_key
    except ValueError:
        key = text
    if key and not isinstance(key, EllipticCurvePublicKey):
        raise InvalidSettings("TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY is not the key that SendGrid shows")
    return key or None


def parse_error_fields(http_response: VendorResponse) -> list[str]:
    """Return the request fields that the errors name. Their messages may quote the recipient, so they are not used."""
    errors = http_response.json().get("errors")
    named = [error.get("field") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return [field[:100] for field in named if isinstance(field, str)][:20]


def parse_reset_delay(http_response: VendorResponse) -> float | None:
    """Return the seconds until the limit resets, from a Unix time:
    https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits
    """
    value = http_response.headers.get("x-ratelimit-reset", "")
    return min(max(1.0, int(value[:12]) - time.time()), 86_400.0) if value.isascii() and value.isdigit() else None
