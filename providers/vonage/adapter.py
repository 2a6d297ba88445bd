"""Send SMS through Vonage's Messages API, as an application (JWT) or with the account's key and secret.

Vonage posts the status of each message, and incoming messages, to the same URL.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Self

from config.sources import ProviderSettings
from domain.channels import Channel
from domain.evidence import Evidence, ReceiptKind
from domain.failure_reasons import ReasonCategory, category_of_code
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider, ProviderReceipt
from providers.context import ProviderContext
from providers.outcomes import LookupRefused, PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.sms_message import ANSWER_REFERENCE, find_address_refusal, find_refusal, find_ttl
from providers.transport import Transport, VendorResponse, basic_auth, parse_retry_after, raise_common_errors
from providers.vendor_queries import LIST_LIMIT, parse_json, query_timeout
from providers.vonage.lookup import build_query, find_acceptances
from providers.vonage.reasons import find_code, find_refusal_reason
from providers.vonage.receipts import REPORTED_KINDS, parse_callback
from providers.vonage.settings import VonageSettings
from providers.vonage.tokens import build_token, read_private_key, verify_callback

# https://developer.vonage.com/en/api/messages: a number has no leading +; seconds of `ttl`.
E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
MIN_TTL, MAX_TTL = 20, 604_800


class Vonage(Provider):
    name: ClassVar[str] = "vonage"
    title: ClassVar[str] = "Vonage"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.SMS})
    # https://developer.vonage.com/en/api/reports: no lag of the records is documented.
    lookup: ClassVar[str] = "positive_only"
    settle_window: ClassVar[float] = 600.0
    receipt_kinds: ClassVar[frozenset[ReceiptKind]] = REPORTED_KINDS
    signature: ClassVar[str] = "JWT with HMAC-SHA256 over time and hash of the body"
    max_evidence: ClassVar[Evidence] = Evidence.DELIVERED
    settings: ClassVar[type[ProviderSettings]] = VonageSettings

    def __init__(self, settings: VonageSettings, transport: Transport, callback_url: str) -> None:
        self._settings = settings
        self._transport = transport
        self._callback_url = callback_url
        self._url, self._account_url = settings.base_url.rstrip("/"), settings.account_url.rstrip("/")
        self._basic_auth = basic_auth(settings.api_key, settings.api_secret.get_secret_value())
        private_key = settings.private_key.get_secret_value()
        self._private_key = read_private_key(private_key) if private_key else None

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(VonageSettings), context.transport, context.receipts_url(cls.name))

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return find_refusal(content)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        if refusal := find_address_refusal(message, E164) or self.content_refusal(message.content):
            return refusal
        body = self._build_body(message.address["phone"], self._settings.sender, message.content["text"])
        ttl = find_ttl(message, MIN_TTL, MAX_TTL)
        return await self._post(body | {"client_ref": str(message.attempt_id)} | ({} if ttl is None else {"ttl": ttl}))

    async def answer_sms(self, to: str, sender: str, text: str) -> ProviderAcceptance | ProviderRefusal:
        return await self._post(self._build_body(to, sender, text) | {"client_ref": ANSWER_REFERENCE})

    async def _post(self, body: dict[str, Any]) -> ProviderAcceptance | ProviderRefusal:
        response = await self._transport.post(f"{self._url}/v1/messages", headers=self._build_auth(), json=body)
        return response.parse_acceptance(202, "message_uuid") or self._parse_refusal(response)

    def _build_body(self, to: str, sender: str, text: str) -> dict[str, Any]:
        return {
            "message_type": "text",
            "channel": "sms",
            "to": to.removeprefix("+"),
            "from": sender.removeprefix("+"),
            "text": text,
            "sms": {"encoding_type": "auto"},
            "webhook_url": self._callback_url,
            "webhook_version": "v1",
        }

    def _build_auth(self) -> dict[str, str]:
        if self._private_key is None:
            return self._basic_auth
        return {"Authorization": f"Bearer {build_token(self._settings.application_id, self._private_key)}"}

    def _parse_refusal(self, response: VendorResponse) -> ProviderRefusal:
        """Classify a 4xx by its reason: nothing was accepted. Raise ProviderError unless it concerns this message."""
        error = response.json()
        evidence = {"status": response.status, "code": find_code(error)}
        reason = find_refusal_reason(error) if 400 <= response.status < 500 else None
        match category_of_code(reason):
            case ReasonCategory.ACCOUNT:
                raise PermanentError(str(reason), evidence)
            case ReasonCategory.UNREACHABLE:
                raise TemporaryError(str(reason), evidence, retry_after=parse_retry_after(response.headers))
            case None:
                raise_common_errors(response)
                raise PermanentError("unexpected_answer", evidence)
        return ProviderRefusal(reason=str(reason), response=evidence)

    async def check(self) -> str:
        """Read the balance. It needs the key and the secret; the private key is not used."""
        async with query_timeout(self.deadline):
            url = f"{self._account_url}/account/get-balance"
            account = parse_json(await self._transport.get(url, headers=self._basic_auth))
        if not isinstance(balance := account.get("value"), int | float):
            raise TemporaryError("malformed_response")
        return f"the key and the secret are valid, and the balance is {balance:.2f} EUR"

    async def look_up(self, message: OutgoingMessage, since: datetime) -> list[ProviderAcceptance]:
        """Search the reports by recipient and time, and their records by the attempt id."""
        async with query_timeout(self.deadline):
            url, query = f"{self._url}/v2/reports/records", build_query(self._settings.api_key, message, since)
            response = await self._transport.get(url, headers=self._basic_auth, params=query, limit=LIST_LIMIT)
            if response.status == 403:
                raise LookupRefused("reports_not_available", {"status": 403})
            report = parse_json(response)
        return find_acceptances(report, str(message.attempt_id))

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        verify_callback(headers.get("authorization", ""), body, self._settings.webhook_secret.get_secret_value())
        return parse_callback(body)
