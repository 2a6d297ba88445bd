"""Adapt the fake HTTP vendors of `testing/vendors/` to the contract suite: the recipient selects the mode."""

import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any, ClassVar, Self

from domain.channels import Channel
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.transport import Transport, outgoing_client
from storage.database import Database
from testing.vendors.emails import VendorEmail
from testing.vendors.http import Reply
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor
from tests.outgoing_messages import outgoing_message
from tests.providers.harness import Bench, ContractCase, Harness

MODE_OF_CASE = {
    ContractCase.ACCEPTS: VendorMode.GOOD,
    ContractCase.REFUSES: VendorMode.REFUSES,
    ContractCase.THROTTLES: VendorMode.THROTTLES,
    ContractCase.BREAKS: VendorMode.BREAKS,
    ContractCase.HANGS: VendorMode.HANGS,
    ContractCase.LOSES: VendorMode.LOSES,
    ContractCase.ERRS: VendorMode.FAILS,
    ContractCase.REDIRECTS: VendorMode.REDIRECTS,
    ContractCase.MALFORMS: VendorMode.GARBLES,
    ContractCase.FLOODS: VendorMode.FLOODS,
    ContractCase.DRIPS: VendorMode.DRIPS,
}
PREFIX = "+44770090"
SEPARATORS = re.compile("[+@:/]")


def mode_of(to: str) -> VendorMode:
    """Return the mode that an address selects by one of its words, and a number by its digits.

    Raises LookupError, which the fake reports as an undocumented request.
    """
    if to.startswith(PREFIX):
        return list(VendorMode)[int(to.removeprefix(PREFIX)[:2])]
    for word in SEPARATORS.split(to):
        if word in set(VendorMode):
            return VendorMode(word)
    raise LookupError(f"`to` of the VendorMessage is {to!r}, no address of a test: does a phone number lack its +?")


@asynccontextmanager
async def running_vendor(vendor: FakeVendor) -> AsyncIterator[Transport]:
    """Serve the vendor with a mode for each recipient, and yield a transport like that of bootstrap."""
    vendor.mode_of = mode_of
    async with vendor.running(), outgoing_client() as client:
        yield Transport(client)


def last_email(log: VendorLog) -> VendorEmail:
    message = log.calls[-1].message
    if message is None or message.email is None:
        raise LookupError("the vendor read no email")
    return message.email


class HttpBench(Bench):
    """Hold an HTTP vendor. Receipts go to `callback`; `forger` signs them with other keys."""

    vendor: FakeVendor
    forger: FakeVendor
    channel: ClassVar[Channel]
    content: ClassVar[Mapping[str, str]]
    callback: ClassVar[str] = "https://tocsin.example/api/v1/receipts"

    def __init__(self, vendor: FakeVendor, transport: Transport) -> None:
        self.vendor = vendor
        self.transport = transport
        self._people = count()
        self.provider = self.adapter()

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        vendor = cls.new_vendor()
        async with running_vendor(vendor) as transport:
            yield cls(vendor, transport)

    @classmethod
    @abstractmethod
    def new_vendor(cls) -> FakeVendor:
        """Build the fake of the vendor."""

    @abstractmethod
    def adapter(self, **changed: Any) -> Provider:
        """Build the adapter for the vendor, with some settings changed."""

    def unreachable(self) -> Provider:
        """Return the adapter with another setting `base_url`. Override this for an adapter without that setting."""
        return self.adapter(base_url="http://127.0.0.1:1")

    def address(self, mode: VendorMode) -> dict[str, Any]:
        """Return an address that selects the mode. Each number is another one: a lookup may find messages by it."""
        match self.channel:
            case Channel.EMAIL:
                return {"email": f"ada+{mode}@example.com"}
            case Channel.SMS:
                return {"phone": f"{PREFIX}{list(VendorMode).index(mode):02}{next(self._people):02}"}
            case Channel.WEBHOOK:
                return {"url": f"{self.vendor.url}/hooks/{mode}"}
            case _:
                return {"token": f"device:{mode}"}

    async def message(self, case: ContractCase) -> OutgoingMessage:
        return self.message_in_mode(MODE_OF_CASE[case])

    def message_in_mode(self, mode: VendorMode) -> OutgoingMessage:
        return outgoing_message(self.channel, address=self.address(mode), content=dict(self.content))

    async def kept(self, message: OutgoingMessage) -> int:
        return self.vendor.log.kept[self.reference(message)]

    async def called(self, message: OutgoingMessage) -> int:
        return self.vendor.log.called[self.reference(message)]

    def email(self) -> VendorEmail:
        return last_email(self.vendor.log)

    def sends(self) -> int:
        return len(self.vendor.log.requests)

    def lookups(self) -> int:
        return len(self.vendor.log.lookups)

    def set_lookup_mode(self, case: ContractCase) -> None:
        self.vendor.lookup_mode = MODE_OF_CASE[case]

    def reference(self, message: OutgoingMessage) -> str:
        return str(message.attempt_id)

    def report(self, word: str, message: OutgoingMessage, message_id: str, at: datetime) -> bytes:
        [to] = message.address.values()
        sent = VendorMessage(reference=str(message.attempt_id), to=to, message_id=message_id)
        return self.vendor.build_receipt(sent, word, at)

    def signed(self, body: bytes, at: datetime, *, genuine: bool = True) -> Mapping[str, str]:
        return (self.vendor if genuine else self.forger).sign_receipt(body, self.callback, at)

    def signed_receipt(self, body: bytes, at: datetime, *, genuine: bool = True) -> tuple[Mapping[str, str], bytes]:
        return (self.vendor if genuine else self.forger).signed_receipt(body, self.callback, at)


class HttpHarness(Harness):
    """Define the harness of an HTTP provider.

    `success` is the response that the vendor documents for an accepted message, or None if every 2xx is one;
    `also_accepted` are further statuses of that kind.
    `bad_content` and `bad_addresses` list values that the adapter refuses without a call, each with the reason.
    """

    bench_class: ClassVar[type[HttpBench]]
    success: ClassVar[Reply | None]
    also_accepted: ClassVar[frozenset[int]] = frozenset()
    bad_content: ClassVar[Sequence[tuple[Mapping[str, str], str]]] = ()
    bad_addresses: ClassVar[Sequence[tuple[Mapping[str, Any], str]]] = ()

    def bench(self, database: Database | None = None) -> AbstractAsyncContextManager[HttpBench]:
        return self.bench_class.running()
