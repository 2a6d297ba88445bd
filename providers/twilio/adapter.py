"""Send SMS through Twilio's Messages API and parse the status callbacks, whose URL has the attempt id.

The vendor's package verifies signatures. The form goes through Tocsin's transport: the package's client would hide
Retry-After and turn an unreadable 2xx into an error.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl

from config.sources import ProviderSettings
from domain.channels import Channel
from domain.evidence import Evidence, ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider, ProviderReceipt
from providers.context import ProviderContext
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.sms_message import ANSWER_REFERENCE, find_address_refusal, find_refusal, find_ttl
from providers.transport import Transport, basic_auth
from providers.twilio.callbacks import has_body_hash, parse_fields
from providers.twilio.errors import parse_refusal
from providers.twilio.inbound import is_inbound, parse_inbound
from providers.twilio.lookup import build_acceptance, created_at, may_match
from providers.twilio.receipts import REPORTED_KINDS, parse_status
from providers.twilio.settings import TwilioSettings
from providers.twilio.signature import verify
from providers.vendor_queries import LIST_LIMIT, parse_json, parse_records, query_timeout

REFERENCE_PARAMETER = "attempt"
# Messages of the list, newest first: no recipient gets as many within the settle window.
PAGE_SIZE = "100"
# https://www.twilio.com/docs/glossary/what-e164
E164 = re.compile(r"\+[1-9][0-9]{1,14}", re.ASCII)
# https://www.twilio.com/docs/messaging/api/message-resource: seconds in Twilio's queue.
MAX_VALIDITY_SECONDS = 36_000
# Difference of the two clocks; Twilio's times are whole seconds.
CLOCK_SKEW = timedelta(minutes=1)


class Twilio(Provider):
    name: ClassVar[str] = "twilio"
    title: ClassVar[str] = "Twilio"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.SMS})
    lookup: ClassVar[str] = "definitive"
    # https://www.twilio.com/docs/messaging/api/message-resource: a message is a resource from its acceptance, before it
    # is sent. No lag is documented; a call in flight during the lookup appears long before this.
    settle_window: ClassVar[float] = 120.0
    receipt_kinds: ClassVar[frozenset[ReceiptKind]] = REPORTED_KINDS
    signature: ClassVar[str] = "HMAC-SHA1 or HMAC-SHA256 over address and form"
    # "read" is reported for channels other than SMS.
    max_evidence: ClassVar[Evidence] = Evidence.DELIVERED
    settings: ClassVar[type[ProviderSettings]] = TwilioSettings

    # https://www.twilio.com/docs/iam/api/account
    INACTIVE_STATUSES: ClassVar[Mapping[str, str]] = {"suspended": "account_suspended", "closed": "account_closed"}

    def __init__(self, settings: TwilioSettings, transport: Transport, callback_url: str) -> None:
        self._transport = transport
        self._callback_url = callback_url
        self._account = f"{settings.base_url.rstrip('/')}/2010-04-01/Accounts/{settings.account_sid}"
        token = settings.auth_token.get_secret_value()
        self._headers = basic_auth(settings.account_sid, token)
        service = settings.messaging_service_sid
        self._sender = {"MessagingServiceSid": service} if service else {"From": settings.sender}
        self._answers_keywords = settings.answers_keywords
        self._secrets = {False: token, True: settings.webhook_secret.get_secret_value()}

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(TwilioSettings), context.transport, context.receipts_url(cls.name))

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return find_refusal(content)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        if refusal := find_address_refusal(message, E164) or self.content_refusal(message.content):
            return refusal
        form = {"To": message.address["phone"], **self._sender, "Body": message.content["text"]}
        if (seconds := find_ttl(message, 1, MAX_VALIDITY_SECONDS)) is not None:
            form["ValidityPeriod"] = str(seconds)
        return await self._post(form, str(message.attempt_id))

    async def answer_sms(self, to: str, sender: str, text: str) -> ProviderAcceptance | ProviderRefusal:
        return await self._post({"To": to, "From": sender, "Body": text}, ANSWER_REFERENCE)

    async def _post(self, form: dict[str, str], reference: str) -> ProviderAcceptance | ProviderRefusal:
        form |= {"StatusCallback": f"{self._callback_url}?{REFERENCE_PARAMETER}={reference}"}
        http_response = await self._transport.post(f"{self._account}/Messages.json", headers=self._headers, data=form)
        return (
            build_acceptance(http_response.json(), http_response.status)
            if http_response.is_success(201, "sid")
            else parse_refusal(http_response)
        )

    async def check(self) -> str:
        """Read the account. A suspended account can still be queried."""
        async with query_timeout(self.deadline):
            listing = parse_json(await self._transport.get(f"{self._account}.json", headers=self._headers))
        if listing.get("status") != "active":
            raise PermanentError(self.INACTIVE_STATUSES.get(str(listing.get("status")), "account_not_active"))
        return "the credentials are valid and the account is active"

    async def look_up(self, message: OutgoingMessage, since: datetime) -> list[ProviderAcceptance]:
        """Look up by recipient, time and text: Twilio's records have no attempt id.

        Not by DateSent, which a queued message does not have:
        https://www.twilio.com/docs/messaging/api/message-resource
        """
        url, query = f"{self._account}/Messages.json", {"To": message.address["phone"], "PageSize": PAGE_SIZE}
        async with query_timeout(self.deadline):
            listing = parse_json(await self._transport.get(url, headers=self._headers, params=query, limit=LIST_LIMIT))
        listed_records = sorted(parse_records(listing, "messages"), key=created_at)
        recent_records = [record for record in listed_records if created_at(record) >= since - CLOCK_SKEW]
        if listing.get("next_page_uri") and len(recent_records) == len(listed_records):
            raise TemporaryError("too_many_messages")
        return [build_acceptance(record) for record in recent_records if may_match(record, message)]

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        """Verify the signature, then parse the events.

        The signature covers the public URL that was given to the vendor, and the sorted form; or the URL alone, where
        that has a hash of the body.
        """
        hashed = has_body_hash(query)
        fields = parse_fields(body, hashed=hashed)
        url = f"{self._callback_url}?{query}" if query else self._callback_url
        verify(headers, url, body.decode(errors="replace") if hashed else fields, self._secrets)
        if is_inbound(fields):
            return parse_inbound(fields, answers_keywords=self._answers_keywords)
        return parse_status(fields, dict(parse_qsl(query)).get(REFERENCE_PARAMETER))
