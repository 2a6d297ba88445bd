"""Define what the contract suite needs from a vendor: one harness per provider, by its name in `harnesses.py`.

The `bench` of an HTTP provider's harness runs a local fake of the vendor (`testing/vendors/`) and points the adapter
at it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from domain.channels import Channel
from domain.evidence import CallResult, ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.context import ProviderContext
from providers.transport import Transport
from storage.database import Database
from testing.vendors.emails import VendorEmail
from tests.outgoing_messages import outgoing_message
from tests.storage.sends import DatabaseTenant


class ContractCase(StrEnum):
    """List the cases of the contract. A harness names the cases that its vendor cannot have, with the reason."""

    ACCEPTS = "accepts"
    REFUSES = "refuses"
    THROTTLES = "throttles"
    BREAKS = "breaks"  # credentials refused
    HANGS = "hangs"
    LOSES = "loses"  # has the message, and resets the connection before the response
    ERRS = "errs"  # an undocumented server error
    REDIRECTS = "redirects"
    MALFORMS = "malforms"  # accepts with an unreadable body
    FLOODS = "floods"  # accepts with ten megabytes
    DRIPS = "drips"  # one byte at long intervals, forever
    REPORTS = "reports"  # posts receipts
    SIGNS_BODY = "signs_body"
    SIGNS_TIME = "signs_time"
    CHECKS = "checks"  # can verify the credentials
    FINDS = "finds"  # can look up an attempt


HTTP_ONLY = (ContractCase.ERRS, ContractCase.REDIRECTS, ContractCase.MALFORMS, ContractCase.FLOODS, ContractCase.DRIPS)
NO_RECEIPTS = dict.fromkeys(
    (ContractCase.REPORTS, ContractCase.SIGNS_BODY, ContractCase.SIGNS_TIME), "it has no receipts"
)
NOT_CHECKED = {ContractCase.CHECKS: "it has no vendor to query"}
NOT_FOUND = {ContractCase.FINDS: "it has no lookup of messages"}
NO_HTTP = dict.fromkeys(HTTP_ONLY, "it does not use HTTP")


class Bench(ABC):
    """Hold one vendor, ready for calls. `provider` is the adapter as bootstrap builds it."""

    provider: Provider

    @abstractmethod
    async def message(self, case: ContractCase) -> OutgoingMessage:
        """Return a new message that the vendor treats according to the case."""

    @abstractmethod
    async def kept(self, message: OutgoingMessage) -> int:
        """Count the vendor's own entries for the message, by attempt id."""

    @abstractmethod
    async def called(self, message: OutgoingMessage) -> int:
        """Count the vendor's requests to send the message, whatever their result."""

    def email(self) -> VendorEmail:
        """Return the last email that the vendor read. Only for email vendors."""
        raise NotImplementedError

    def sends(self) -> int:
        """Count all requests to send. This method and the following ones exist only for vendors with queries."""
        raise NotImplementedError

    def bad_credentials(self) -> Provider:
        """Return the adapter with credentials that the vendor does not know."""
        raise NotImplementedError

    def unreachable(self) -> Provider:
        """Return the adapter with an address where nothing listens."""
        raise NotImplementedError

    def lookups(self) -> int:
        """Count the requests that send nothing. Only for HTTP vendors."""
        raise NotImplementedError

    def set_lookup_mode(self, case: ContractCase) -> None:
        """Set how queries are treated from now on. Only for HTTP vendors."""
        raise NotImplementedError

    def report(self, word: str, message: OutgoingMessage, message_id: str, at: datetime) -> bytes:
        """Return the body of a callback. `word` is `delivered`, `open` or a word of the vendor."""
        raise NotImplementedError

    def signed(self, body: bytes, at: datetime, *, genuine: bool = True) -> Mapping[str, str]:
        """Return the headers of a callback sent at that time. Not genuine: signed with another key."""
        raise NotImplementedError

    def signed_receipt(self, body: bytes, at: datetime, *, genuine: bool = True) -> tuple[Mapping[str, str], bytes]:
        """Return the headers and the body of that callback. They differ from `signed` and `body` for a vendor that
        signs inside the body.
        """
        return self.signed(body, at, genuine=genuine), body

    def without_signature(self, headers: Mapping[str, str], body: bytes) -> list[tuple[Mapping[str, str], bytes]]:
        """Return the callback without each of the parts that prove its origin."""
        return [({name: headers[name] for name in headers if name != missing}, body) for missing in headers]


class Harness(ABC):
    """Define a harness. `without` maps inapplicable cases to reasons. `after_error` is what a server error, a redirect
    and an unreadable success prove at this vendor. A signature is accepted for `signature_lifetime`. `sender_name` is
    what an email vendor gets for the name `Orders, Ltd`.
    """

    without: ClassVar[Mapping[ContractCase, str]] = {}
    signature_lifetime: ClassVar[timedelta] = timedelta(minutes=5)
    sender_name: ClassVar[str] = "Orders, Ltd"
    after_error: ClassVar[Mapping[ContractCase, CallResult]] = {
        ContractCase.ERRS: CallResult.UNKNOWN,
        ContractCase.REDIRECTS: CallResult.PERMANENT,
        ContractCase.MALFORMS: CallResult.UNKNOWN,
    }

    @abstractmethod
    def bench(self, database: Database) -> AbstractAsyncContextManager[Bench]: ...


async def message_to(database_tenant: DatabaseTenant, channel: Channel, address: dict[str, str]) -> OutgoingMessage:
    """Return a message of an existing notification."""
    sent = await database_tenant.send(channel)
    return outgoing_message(
        channel,
        attempt_id=sent.attempt(channel=channel),
        delivery_id=sent.delivery(channel),
        notification_id=sent.id,
        tenant=database_tenant.tenant,
        recipient_id=database_tenant.recipient_id,
        address=address,
        content={"subject": "Hi", "text": "Hello"},
    )


def tools_with(transport: Transport, secret: bytes = b"the installation's key") -> ProviderContext:
    """Return the context as bootstrap builds it, with one transport for all purposes and stubs for the rest."""
    nothing: Any = None
    return ProviderContext(
        transport=transport,
        guarded_transport=transport,
        http2_transport=transport,
        secret=secret,
        receipts_url=lambda name: f"https://tocsin.example/api/v1/receipts/{name}",
        inbox=nothing,
        sandbox_store=nothing,
    )


def word_problem(name: str, word: str, kind: ReceiptKind) -> str:
    """Explain a receipt of another kind than that of the word."""
    return f"the adapter reads `{word}` of testing/vendors/{name}.py as {kind}: is the vendor's word in `event_names`?"
