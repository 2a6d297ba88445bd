"""Define the interface of an adapter: a class that sends one message once and parses its vendor's receipts.

An adapter never retries or sleeps, and knows neither Temporal nor the database. `docs/adding-a-provider.md` explains
how to add one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, NoReturn, Self
from urllib.parse import parse_qsl
from uuid import UUID

from config.sources import ProviderSettings
from domain.channels import Channel, DeviceKind
from domain.evidence import Evidence, ReceiptKind
from domain.inbound_messages import InboundMessage
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from domain.vendor_values import clean_id, clean_reason
from providers.context import ProviderContext
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderReceipt:
    """Describe an event that a vendor reports, in Tocsin's terms.

    It is matched by `attempt_id`, else by the vendor's message id. The message of a recipient has `inbound` instead and
    concerns the tenants that use its number. `raw` is the event as received and identifies the receipt.
    `stored_raw`, if set, is stored instead of `raw`. Of receipts with the same `token` only the first is stored: set it
    if the signature covers a single-use token and not the event.
    """

    kind: ReceiptKind
    occurred_at: datetime
    attempt_id: UUID | None = None
    provider_message_id: str | None = None
    inbound: InboundMessage | None = None
    reason: str | None = None
    raw: Json
    stored_raw: Json | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "provider_message_id", clean_id(self.provider_message_id))
        object.__setattr__(self, "reason", None if self.reason is None else clean_reason(self.reason))


class ForgedReceipt(Exception):
    """Signal a missing or wrong signature. The text, for the log, states which, and quotes nothing of the request."""


class UnreadableReceipt(Exception):
    """Signal that the signature is correct but the body does not have the documented form."""


def read_json(body: bytes) -> Any:
    """Parse JSON that Postgres can store. Raises UnreadableReceipt for NaN, lone surrogates and excessive nesting."""
    try:
        value = json.loads(body, parse_constant=_reject_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UnreadableReceipt("the body is not JSON that can be stored") from error
    return value


def read_form(body: bytes) -> list[tuple[str, str]]:
    """Parse the fields of a form, whose names may repeat. Replaces bytes that are no UTF-8, because many signatures
    cover the fields, so that the form is parsed before it is verified.
    """
    return parse_qsl(body.decode(errors="replace"), keep_blank_values=True)


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def parse_reference(text: str | None) -> UUID | None:
    """Return the attempt id that a vendor reports, or None if the text is not one."""
    try:
        return UUID(text or "")
    except ValueError:
        return None


class Provider:
    """Define the class attributes and methods that an adapter provides.

    `title` is the vendor's name in the documentation. `deadline` limits the whole call, in seconds. `idempotent`: the
    same attempt may be sent again without harm. `idempotency_window`: how long, in seconds, the vendor recognizes a
    repeated request by its attempt id and returns the first outcome instead of sending again. After an unknown outcome
    Tocsin repeats the request within this time. `max_events` is the most events of one callback. A larger callback is
    refused and the vendor repeats it until it gives up, so the value must be at least the vendor's own maximum.
    `max_evidence` is the furthest event that the vendor reports for messages of every type. A goal beyond that causes a
    warning. `receipt_status` is the response to a stored callback: some vendors repeat a callback that gets another
    status. `lookup` states what a missing message proves: `definitive` (absence, after `settle_window`),
    `positive_only` (nothing), or `none` (no lookup). `settle_window` is the lag, in seconds after the call, of the
    vendor's records behind its acceptance. `has_circuit` is False if the failure of one recipient's endpoint proves
    nothing about other endpoints. `receipt_kinds` are the kinds of receipts that the vendor reports, and `signature`
    describes what proves their origin; both are empty for a vendor without receipts. `settings` is the class that
    `build` loads.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    channels: ClassVar[frozenset[Channel]]
    device_kinds: ClassVar[frozenset[DeviceKind]] = frozenset()
    deadline: ClassVar[float] = 10.0
    idempotent: ClassVar[bool] = False
    idempotency_window: ClassVar[timedelta] = timedelta()
    lookup: ClassVar[str] = "none"
    settle_window: ClassVar[float] = 0.0
    has_circuit: ClassVar[bool] = True
    receipt_kinds: ClassVar[frozenset[ReceiptKind]] = frozenset()
    signature: ClassVar[str] = ""
    max_evidence: ClassVar[Evidence] = Evidence.SENT
    max_events: ClassVar[int] = 1_000
    receipt_status: ClassVar[int] = 204
    settings: ClassVar[type[ProviderSettings]] = ProviderSettings

    @classmethod
    def parses_receipts(cls) -> bool:
        return bool(cls.receipt_kinds)

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        """Create the adapter, once, at startup. Raise InvalidSettings, which names the variable."""
        raise NotImplementedError

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        """Make one request. Raises TemporaryError, PermanentError or UnknownOutcome. `deliver` enforces the
        deadline.
        """
        raise NotImplementedError

    async def answer_sms(self, to: str, sender: str, text: str) -> ProviderAcceptance | ProviderRefusal:
        """Answer an inbound SMS from the number that received it, with one request. Raises like `send`."""
        raise PermanentError("cannot_answer")

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        """Return why `send` refuses this content without a call. Dry runs call it too."""
        return None

    async def check(self) -> str:
        """Verify the credentials with the vendor, without sending, and return the result as a short sentence.

        Raises TemporaryError or PermanentError, within `deadline`.
        """
        raise NotImplementedError

    async def look_up(self, message: OutgoingMessage, since: datetime) -> list[ProviderAcceptance]:
        """Return the vendor's messages that may belong to this attempt, oldest first, with one request.

        `since` is when the attempt row was written. An empty list proves absence only where `lookup` is `definitive`,
        and only after `settle_window`. Raises TemporaryError, also for an unreadable or incomplete response,
        LookupRefused if the account has no lookup, or PermanentError, within `deadline`.
        """
        raise NotImplementedError

    async def prepare_receipts(self, headers: Mapping[str, str], body: bytes) -> None:
        """Make the requests that `parse_receipts` needs for this callback, such as fetching the key of its signature.

        Verify before any other request that the callback asks for. Raises like `parse_receipts`, and TemporaryError, on
        which the vendor is asked to repeat the callback.
        """

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        """Verify the signature over the raw bytes, then parse the events.

        `query` is the unparsed query string: some vendors sign the whole URL. Raises ForgedReceipt or
        UnreadableReceipt.
        """
        raise ForgedReceipt(f"{self.name} has no receipts")
