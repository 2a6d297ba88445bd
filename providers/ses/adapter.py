"""Send email through the API v2 of Amazon SES and parse the events that it publishes through Amazon SNS."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from config.sources import ProviderSettings
from domain.channels import Channel
from domain.evidence import Evidence, ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider, ProviderReceipt
from providers.context import ProviderContext
from providers.email_fields import email_of, find_address_refusal, find_international_refusal, find_refusal
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal
from providers.ses.options import build_request, find_sender
from providers.ses.reasons import error_code, parse_refusal
from providers.ses.receipts import REPORTED_KINDS, parse_event
from providers.ses.settings import SesSettings
from providers.ses.signing import RequestSigner
from providers.ses.sns import SnsCallbacks
from providers.transport import Transport
from providers.vendor_queries import parse_json, query_timeout


class Ses(Provider):
    name: ClassVar[str] = "ses"
    title: ClassVar[str] = "Amazon SES"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.EMAIL})
    receipt_kinds: ClassVar[frozenset[ReceiptKind]] = REPORTED_KINDS
    signature: ClassVar[str] = "RSA over the fields of an SNS message"
    # Opens and clicks are reported only for types that leave tracking to the account.
    max_evidence: ClassVar[Evidence] = Evidence.DELIVERED
    settings: ClassVar[type[ProviderSettings]] = SesSettings

    def __init__(self, settings: SesSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._api = f"{settings.api_url}/v2/email"
        self._signer = RequestSigner(settings)
        self._callbacks = SnsCallbacks(settings.sns_origin, settings.topics, transport)

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(SesSettings), context.transport)

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return find_refusal(content)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        """Send the email as MIME: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html"""
        address = email_of(message)
        # https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html: no SMTPUTF8
        unsafe = find_international_refusal(address) or find_address_refusal(address)
        if refusal := unsafe or self.content_refusal(message.content):
            return refusal
        url, body = f"{self._api}/outbound-emails", json.dumps(build_request(message, self._settings)).encode()
        http_response = await self._transport.post(
            url, headers=await self._signer.sign("POST", url, body), content=body
        )
        if acceptance := http_response.parse_acceptance(200, "MessageId"):
            return acceptance
        return parse_refusal(http_response, find_sender(message, self._settings).addr_spec)

    async def check(self) -> str:
        """Read the state of the account: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html"""
        url = f"{self._api}/account"
        async with query_timeout(self.deadline):
            http_response = await self._transport.get(url, headers=await self._signer.sign("GET", url))
            if error_code(http_response):
                parse_refusal(http_response, self._settings.sender)
            account = parse_json(http_response)
        if account.get("SendingEnabled") is not True or account.get("EnforcementStatus") == "SHUTDOWN":
            raise PermanentError("account_suspended")
        limit = "" if account.get("ProductionAccessEnabled") is True else "; it may send to verified addresses only"
        return f"the credentials are valid and the account may send in {self._settings.region}{limit}"

    async def prepare_receipts(self, headers: Mapping[str, str], body: bytes) -> None:
        await self._callbacks.prepare(body)

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        text = self._callbacks.verify(body)
        return [] if text is None else parse_event(text)
