"""Post signed receipts of accepted messages, repeated until they get 2xx, as vendors do."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import httpx2

from testing.vendors.log import VendorMessage
from testing.vendors.vendor import FakeVendor

POST_DELAY = 0.2
RETRY_DELAY = 0.5


class ReceiptStyle(StrEnum):
    """Define how a vendor sends receipts."""

    PLAIN = "plain"
    DUPLICATED = "duplicated"
    REVERSED = "reversed"
    EARLY = "early"  # before the response to the call
    WITHHELD = "withheld"  # on request


@dataclass(frozen=True)
class VendorReceipt:
    vendor: FakeVendor
    message: VendorMessage
    event: str

    async def post(self, http: httpx2.AsyncClient) -> int:
        """Post once, and return the status."""
        url, now = self.message.callback or self.vendor.receipts_url, datetime.now(UTC)
        event = self.vendor.build_receipt(self.message, self.event, now)
        signature, body = self.vendor.signed_receipt(event, url, now)
        headers = {"Content-Type": self.vendor.receipt_type, **signature}
        return (await http.post(url, content=body, headers=headers)).status_code


@dataclass(kw_only=True)
class ReceiptPoster:
    """Post the receipts of vendors: `vendor.on_accepted = poster.post_events`. `events_of` selects the events for a
    recipient. `on_posted` is called for each response. `complaints` are receipts that got 4xx: they would never be
    accepted.
    """

    events_of: Callable[[str], list[str]] = lambda to: ["delivered"]
    on_posted: Callable[[VendorReceipt, int], None] = lambda receipt, status: None
    style: ReceiptStyle = ReceiptStyle.PLAIN
    complaints: list[str] = field(default_factory=list)
    _withheld: list[VendorReceipt] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _http: httpx2.AsyncClient = field(default_factory=lambda: httpx2.AsyncClient(trust_env=False, timeout=10))

    @property
    def due(self) -> int:
        return len(self._tasks)

    async def post_events(self, vendor: FakeVendor, message: VendorMessage) -> None:
        """Start posting, unless neither the message nor the vendor names a URL. Return before the vendor responds to
        its caller.
        """
        if not (message.callback or vendor.receipts_url):
            return
        receipts = [VendorReceipt(vendor, message, event) for event in self.events_of(message.to)]
        if self.style is ReceiptStyle.REVERSED:
            receipts.reverse()
        if self.style is ReceiptStyle.DUPLICATED:
            receipts = [receipt for receipt in receipts for _ in range(3)]
        if self.style is ReceiptStyle.WITHHELD:
            self._withheld += receipts
        elif self.style is ReceiptStyle.EARLY:
            self._start_posting([receipt for receipt in receipts if not await self._post_once(receipt)])
        else:
            self._start_posting(receipts)

    def release(self) -> None:
        """Send the withheld receipts, the last first."""
        self._start_posting(self._withheld[::-1])
        self._withheld = []

    def _start_posting(self, receipts: list[VendorReceipt]) -> None:
        if not receipts:
            return
        task = asyncio.create_task(self._post(receipts))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, receipts: list[VendorReceipt]) -> None:
        await _pause(POST_DELAY)
        for receipt in receipts:
            while not await self._post_once(receipt):
                await _pause(RETRY_DELAY)

    async def _post_once(self, receipt: VendorReceipt) -> bool:
        """Return whether the receipt needs no repetition."""
        try:
            status = await receipt.post(self._http)
        except httpx2.TransportError:
            return False
        self.on_posted(receipt, status)
        if 400 <= status < 500:
            self.complaints.append(f"{receipt.vendor.name} {receipt.event} of {receipt.message.reference}: {status}")
        return status < 500


async def _pause(seconds: float) -> None:
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)
