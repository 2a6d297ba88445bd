"""Send email through Resend and parse the receipts of its signed webhooks."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Self

import standardwebhooks
from pydantic import EmailStr, Field, SecretStr

from config.sources import InvalidSettings, ProviderSettings
from domain.channels import Channel
from domain.evidence import Evidence, ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, Provider, ProviderReceipt, UnreadableReceipt
from providers.context import ProviderContext
from providers.email_fields import email_of, find_address_refusal, find_international_refusal, find_refusal, sender_of
from providers.outcomes import ProviderAcceptance, ProviderRefusal
from providers.resend.errors import is_sending_key, parse_refusal, raise_account_error
from providers.resend.options import build_request
from providers.resend.receipts import RECEIPT_KINDS, parse_event
from providers.transport import Transport
from providers.vendor_queries import parse_json, query_timeout

# https://docs.svix.com/receiving/verifying-payloads/how-manual: the names of Svix for the headers of Standard Webhooks
SIGNATURE_HEADERS = {
    "webhook-id": "svix-id",
    "webhook-timestamp": "svix-timestamp",
    "webhook-signature": "svix-signature",
}


class ResendSettings(ProviderSettings, env_prefix="TOCSIN_RESEND_", validate_by_name=True):
    """Hold the settings. `sender` is TOCSIN_RESEND_FROM. Without the webhook's secret, every receipt is refused."""

    api_key: SecretStr
    sender: EmailStr = Field(alias="from")
    from_name: str = ""
    base_url: str = "https://api.resend.com"
    webhook_secret: SecretStr = SecretStr("")


class Resend(Provider):
    """Declare no lookup: the list of emails has neither tags nor a filter, and the id of an email is unknown after a
    lost response. A repeated request finds it.
    """

    name: ClassVar[str] = "resend"
    title: ClassVar[str] = "Resend"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.EMAIL})
    # https://resend.com/docs/dashboard/emails/idempotency-keys
    idempotency_window: ClassVar[timedelta] = timedelta(hours=24)
    receipt_kinds: ClassVar[frozenset[ReceiptKind]] = frozenset(RECEIPT_KINDS.values())
    signature: ClassVar[str] = "HMAC-SHA256 over id, time and body (Standard Webhooks)"
    # Opens and clicks are reported only for domains with tracking.
    max_evidence: ClassVar[Evidence] = Evidence.DELIVERED
    settings: ClassVar[type[ProviderSettings]] = ResendSettings

    def __init__(self, settings: ResendSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._api = settings.base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"}
        self._verifier = load_secret(settings.webhook_secret.get_secret_value().strip())

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(ResendSettings), context.transport)

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return find_refusal(content)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        address = email_of(message)
        # The field takes a name too: `<` would begin another address.
        unsafe = find_international_refusal(address) or find_address_refusal(address)
        if refusal := unsafe or self.content_refusal(message.content):
            return refusal
        request = build_request(message, sender_of(message, self._settings.sender, self._settings.from_name))
        headers = {**self._headers, "Idempotency-Key": str(message.attempt_id)}
        http_response = await self._transport.post(f"{self._api}/emails", headers=headers, json=request)
        return http_response.parse_acceptance(200, "id") or parse_refusal(http_response)

    async def check(self) -> str:
        """List the domains, for which a key that may only send gets an error of its own."""
        async with query_timeout(self.deadline):
            http_response = await self._transport.get(f"{self._api}/domains", headers=self._headers)
            if is_sending_key(http_response):
                return "the API key is valid and may only send mail"
            raise_account_error(http_response)
            parse_json(http_response)
        return "the API key is valid and may send mail"

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        self._verify(headers, body)
        return parse_event(body)

    def _verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Verify the signature, which is good for five minutes. Each repetition of a callback has a new one."""
        if self._verifier is None:
            raise ForgedReceipt("TOCSIN_RESEND_WEBHOOK_SECRET is not set")
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise UnreadableReceipt("the body is not UTF-8") from error
        named = {name: headers.get(svix_name, "") for name, svix_name in SIGNATURE_HEADERS.items()}
        try:
            self._verifier.verify(text, named, json_parse=False)
        except (standardwebhooks.WebhookVerificationError, ValueError) as error:
            raise ForgedReceipt(
                "the signature is missing, does not match or is not of the last five minutes"
            ) from error


def load_secret(text: str) -> standardwebhooks.Webhook | None:
    try:
        return standardwebhooks.Webhook(text) if text else None
    except (ValueError, standardwebhooks.webhooks.EmptyWebhookSecretError) as error:
        raise InvalidSettings("TOCSIN_RESEND_WEBHOOK_SECRET is not the signing secret that Resend shows") from error
