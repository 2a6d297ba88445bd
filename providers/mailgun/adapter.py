"""Send email through Mailgun's Messages API and parse the receipts of its signed webhooks.

The email is sent as MIME, so that its headers, copies and attachments arrive as they were built.
"""

from collections.abc import Mapping
from datetime import datetime
from email.headerregistry import Address
from typing import Any, ClassVar, Self

from pydantic import EmailStr, Field, SecretStr

from config.sources import ProviderSettings
from domain.channels import Channel
from domain.evidence import Evidence, ReceiptKind
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, Provider, ProviderReceipt, UnreadableReceipt, read_json
from providers.context import ProviderContext
from providers.email_fields import domain_of, email_of, find_refusal, sender_of
from providers.email_message import build_email
from providers.mailgun.errors import parse_refusal
from providers.mailgun.lookup import build_query, message_id_of, parse_matches
from providers.mailgun.options import build_fields
from providers.mailgun.reasons import STATUS_REASONS
from providers.mailgun.receipts import RECEIPT_KINDS, parse_event
from providers.mailgun.signature import verify_callback
from providers.outcomes import LookupRefused, PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.transport import Transport, basic_auth
from providers.vendor_queries import LIST_LIMIT, parse_json, query_timeout


class MailgunSettings(ProviderSettings, env_prefix="TOCSIN_MAILGUN_", validate_by_name=True):
    """Hold the settings. `sender` is TOCSIN_MAILGUN_FROM. Without the webhook signing key, every receipt is refused."""

    api_key: SecretStr
    domain: str
    sender: EmailStr = Field(alias="from")
    from_name: str = ""
    base_url: str = "https://api.mailgun.net"
    webhook_signing_key: SecretStr = SecretStr("")


class Mailgun(Provider):
    name: ClassVar[str] = "mailgun"
    title: ClassVar[str] = "Mailgun"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.EMAIL})
    lookup: ClassVar[str] = "positive_only"
    # https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-polling: events may arrive late; half an
    # hour is the example of an age at which they are complete.
    settle_window: ClassVar[float] = 1800.0
    receipt_kinds: ClassVar[frozenset[ReceiptKind]] = frozenset({ReceiptKind.DELAYED, *RECEIPT_KINDS.values()})
    signature: ClassVar[str] = "HMAC-SHA256 over time and single-use token"
    # https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries: all but 200 is repeated.
    receipt_status: ClassVar[int] = 200
    # Opens and clicks are reported only for types that leave tracking to the account.
    max_evidence: ClassVar[Evidence] = Evidence.DELIVERED
    settings: ClassVar[type[ProviderSettings]] = MailgunSettings

    def __init__(self, settings: MailgunSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._api = settings.base_url.rstrip("/")
        # https://documentation.mailgun.com/docs/mailgun/api-reference/authentication
        self._headers = basic_auth("api", settings.api_key.get_secret_value())
        self._signing_key = settings.webhook_signing_key.get_secret_value().strip().encode()

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(MailgunSettings), context.transport)

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return find_refusal(content)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        if refusal := self.content_refusal(message.content):
            return refusal
        sender = sender_of(message, self._settings.sender, self._settings.from_name)
        mail = build_email(message, Address(sender.name, addr_spec=sender.email), email_of(message))
        # https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages-mime
        http_response = await self._transport.post(
            f"{self._api}/v3/{self._settings.domain}/messages.mime",
            headers=self._headers,
            data=build_fields(message),
            files={"message": ("message.eml", mail.as_bytes())},
        )
        if http_response.is_success(200, "id"):
            message_id = message_id_of(message.attempt_id, http_response.json().get("id"))
            return ProviderAcceptance(message_id=message_id, response={"status": http_response.status})
        return parse_refusal(http_response, message)

    async def check(self) -> str:
        """Read the domain, which a key of a domain that may only send cannot do:
        https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/domains/get-v4-domains--name-
        """
        async with query_timeout(self.deadline):
            response_body = await self._query(f"v4/domains/{self._settings.domain}")
        domain = response_body.get("domain")
        if not isinstance(domain, dict):
            raise TemporaryError("malformed_response")
        if domain.get("is_disabled") or domain.get("state") == "disabled":
            raise PermanentError("domain_disabled")
        if domain.get("state") != "active":
            raise PermanentError("domain_not_verified")
        return "the API key is valid and the domain is active"

    async def look_up(self, message: OutgoingMessage, since: datetime) -> list[ProviderAcceptance]:
        sender = sender_of(message, self._settings.sender, self._settings.from_name)
        params = build_query(message, domain_of(sender.email), since)
        async with query_timeout(self.deadline):
            return parse_matches(await self._query(f"v3/{self._settings.domain}/events", params), message)

    async def _query(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        url = f"{self._api}/{path}"
        http_response = await self._transport.get(url, headers=self._headers, params=params, limit=LIST_LIMIT)
        evidence = {"status": http_response.status}
        if http_response.status == 403 and params:
            raise LookupRefused("events_not_available", evidence)
        if http_response.status in STATUS_REASONS:
            raise PermanentError(STATUS_REASONS[http_response.status], evidence)
        return parse_json(http_response)

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        if not self._signing_key:
            raise ForgedReceipt("TOCSIN_MAILGUN_WEBHOOK_SIGNING_KEY is not set")
        callback = read_json(body)
        token = verify_callback(callback, self._signing_key)
        try:
            return [parse_event(callback["event-data"], token)]
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
            raise UnreadableReceipt("not an event") from error
