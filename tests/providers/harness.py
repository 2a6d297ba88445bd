"""What the contract suite needs to know of a vendor: one harness per provider, by its name in `harnesses.py`.

A provider that speaks HTTP brings a harness whose `bench` runs a local fake of the vendor (`harness_http.py`) and
points the adapter at it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from domain.channels import Channel
from domain.messages import CallResult
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.context import ProviderContext
from providers.transport import Transport
from storage.database import Database
from tests.storage.sends import DatabaseTenant


class ContractCase(StrEnum):
    """What the contract asks of every provider. A harness says which of them its vendor cannot have, and why."""

    ACCEPTS = "accepts"
    REFUSES = "refuses"
    THROTTLES = "throttles"
    BREAKS = "breaks"  # credentials refused
    HANGS = "hangs"
    LOSES = "loses"  # has the message, and its answer never arrives: the line is reset
    ERRS = "errs"  # an undocumented server error
    REDIRECTS = "redirects"
    MALFORMS = "malforms"  # says yes in a way that nobody can read
    FLOODS = "floods"  # says yes in ten megabytes
    DRIPS = "drips"  # a byte now and then, for ever
    REPORTS = "reports"  # posts receipts
    SIGNS_BODY = "signs_body"
    SIGNS_TIME = "signs_time"
    CHECKS = "checks"  # can be asked whether it knows us
    FINDS = "finds"  # can be asked what it has of an attempt


HTTP_ONLY = (ContractCase.ERRS, ContractCase.REDIRECTS, ContractCase.MALFORMS, ContractCase.FLOODS, ContractCase.DRIPS)
NO_RECEIPTS = dict.fromkeys(
    (ContractCase.REPORTS, ContractCase.SIGNS_BODY, ContractCase.SIGNS_TIME), "it reports nothing"
)
NOT_CHECKED = {ContractCase.CHECKS: "there is nobody to ask"}
NOT_FOUND = {ContractCase.FINDS: "it cannot be asked for a message"}
NO_HTTP = dict.fromkeys(HTTP_ONLY, "it does not speak HTTP")


class Bench(ABC):
    """One vendor, ready for calls. `provider` is the adapter as bootstrap would build it."""

    provider: Provider

    @abstractmethod
    async def message(self, case: ContractCase) -> OutgoingMessage:
        """A new message that the vendor will treat like that."""

    @abstractmethod
    async def kept(self, message: OutgoingMessage) -> int:
        """How often the vendor's own books hold it, by our reference."""

    @abstractmethod
    async def called(self, message: OutgoingMessage) -> int:
        """How often the vendor was asked to send it, whatever came of it."""

    def sends(self) -> int:
        """How often the vendor was asked to send anything. For it and what follows: only vendors that can be asked."""
        raise NotImplementedError

    def bad_credentials(self) -> Provider:
        """The adapter with credentials that the vendor does not know."""
        raise NotImplementedError

    def unreachable(self) -> Provider:
        """The adapter with an address where nobody listens."""
        raise NotImplementedError

    def lookups(self) -> int:
        """How many requests came that send nothing. Only for vendors that speak HTTP."""
        raise NotImplementedError

    def set_lookup_mode(self, case: ContractCase) -> None:
        """Treat questions like that from now on. Only for vendors that speak HTTP."""
        raise NotImplementedError

    def report(self, word: str, message: OutgoingMessage, message_id: str, at: datetime) -> bytes:
        """The body of a callback. Only for vendors that report."""
        raise NotImplementedError

    def signed(self, body: bytes, at: datetime, *, genuine: bool = True) -> Mapping[str, str]:
        """The headers of a callback sent at that time; not genuine: with a key that is not ours."""
        raise NotImplementedError


class Harness(ABC):
    """`without` maps what does not apply to the reason. `delivered` is the vendor's own word; `after_error` is what a
    server error, a redirect and the right status with an unreadable body prove at this vendor."""

    without: ClassVar[Mapping[ContractCase, str]] = {}
    delivered: ClassVar[str] = "delivered"
    after_error: ClassVar[Mapping[ContractCase, CallResult]] = {
        ContractCase.ERRS: CallResult.UNKNOWN,
        ContractCase.REDIRECTS: CallResult.PERMANENT,
        ContractCase.MALFORMS: CallResult.UNKNOWN,
    }

    @abstractmethod
    def bench(self, database: Database) -> AbstractAsyncContextManager[Bench]: ...


async def message_to(database_tenant: DatabaseTenant, channel: Channel, address: dict[str, str]) -> OutgoingMessage:
    """Of a notification that exists."""
    sent = await database_tenant.send(channel)
    return OutgoingMessage(
        attempt_id=sent.attempt(channel=channel),
        delivery_id=sent.delivery(channel),
        notification_id=sent.id,
        tenant=database_tenant.tenant,
        recipient_id=database_tenant.recipient_id,
        notification_type="order.shipped",
        created_at=datetime.now(UTC),
        channel=channel,
        endpoint_id=channel,
        address=address,
        content={"subject": "Hi", "text": "Hello"},
    )


def tools_with(transport: Transport, secret: bytes = b"the installation's key") -> ProviderContext:
    """As bootstrap hands them out, with one transport for both ways and nothing behind the rest."""
    nothing: Any = None
    return ProviderContext(
        transport=transport,
        guarded_transport=transport,
        secret=secret,
        receipts_url=lambda name: f"https://tocsin.example/api/v1/receipts/{name}",
        inbox=nothing,
        sandbox_store=nothing,
    )
