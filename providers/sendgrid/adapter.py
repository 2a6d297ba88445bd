"""Send email through SendGrid's Web API and parse the receipts of its signed Event Webhook.

The vendor's package builds the message and reads the key. Tocsin's transport sends it, because the package's own client
has no timeout.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Self

from sendgrid.helpers.mail import CustomArg, From, Mail, To
from sendgrid.helpers.mail.exceptions import ApiKeyIncludedException

from config.sources import ProviderSettings
from domain.channels import Channel
from domain.evidence import Evidence, ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider, ProviderReceipt
from providers.context import ProviderContext
from providers.email_fields import email_of, find_international_refusal, find_refusal, sender_of
from providers.outcomes import LookupRefused, PermanentError, ProviderAcceptance, ProviderRefusal
from providers.sendgrid.errors import parse_refusal
from providers.sendgrid.lookup import REFERENCE, build_query, parse_matches
from providers.sendgrid.options import add_options
from providers.sendgrid.receipts import RECEIPT_KINDS, parse_receipts
from providers.sendgrid.settings import SendGridSettings
from providers.sendgrid.signature import load_public_key, verify
from providers.transport import Transport
from providers.vendor_queries import parse_json, query_timeout

# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: the only success; 200 is that of its sandbox.
ACCEPTED_STATUS = 202


class SendGrid(Provider):
    name: ClassVar[str] = "sendgrid"
    title: ClassVar[str] = "SendGrid"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.EMAIL})
    lookup: ClassVar[str] = "positive_only"
    # https://www.twilio.com/docs/sendgrid/ui/analytics-and-reporting/email-activity-feed: a snapshot without a
    # documented lag. Its events arrive by webhook at once; a message that is missing after ten minutes is in doubt.
    settle_window: ClassVar[float] = 600.0
    receipt_kinds: ClassVar[frozenset[ReceiptKind]] = frozenset(RECEIPT_KINDS.values())
    signature: ClassVar[str] = "ECDSA over time and body"
    # Opens and clicks are reported only for types that leave tracking to the account.
    max_evidence: ClassVar[Evidence] = Evidence.DELIVERED
    # https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook: up to 768 KB
    # per callback, dropped after 24 hours of refusals. An event with an attempt id has at least 200 bytes.
    max_events: ClassVar[int] = 5_000
    settings: ClassVar[type[ProviderSettings]] = SendGridSettings

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
        # SendGrid accepts an empty subject and then drops the email as invalid:
        # https://github.com/sendgrid/sendgrid-csharp/issues/656
        if refusal := find_international_refusal(email_of(message)) or self.content_refusal(message.content):
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
        return parse_refusal(http_response)

    def _build_mail(self, message: OutgoingMessage) -> dict[str, Any]:
        sender = sender_of(message, self._settings.sender, self._settings.from_name)
        mail = Mail(
            from_email=From(sender.email, sender.name or None),
            to_emails=To(email_of(message)),
            subject=message.content["subject"],
            plain_text_content=message.content.get("text") or None,
            html_content=message.content.get("html") or None,
        )
        mail.add_custom_arg(CustomArg(REFERENCE, str(message.attempt_id), p=0))
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

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        verify(self._key, headers, body)
        return parse_receipts(body)
