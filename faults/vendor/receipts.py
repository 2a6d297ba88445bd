"""Send signed receipts of accepted messages, repeated until they get 2xx, as vendors do."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from faults.pace import wait_seconds
from faults.vendor.modes import ReceiptStyle
from faults.vendor.vendor_log import VendorLog

POST_DELAY = 0.2
RETRY_DELAY = 0.5


@dataclass(frozen=True, kw_only=True)
class VendorMessage:
    """Describe one accepted message. `callback` is the target of its receipts."""

    provider: str
    reference: str
    message_id: Any
    to: str
    callback: str


@dataclass(frozen=True, kw_only=True)
class ReceiptRequest:
    url: str
    body: bytes
    headers: Mapping[str, str]


class ReceiptFormat(ABC):
    """Define how one vendor formats and signs its receipts."""

    @abstractmethod
    def receipt_request(self, accepted_message: VendorMessage, event: str) -> ReceiptRequest: ...


def events_of(to: str) -> list[str]:
    """Return the events to report, selected by a word in the address or a number's last digit."""
    if "silent" in to or (to.startswith("+") and to.endswith("8")):
        return []
    if "open" in to or (to.startswith("+") and to.endswith("9")):
        return ["delivered", "open"]
    return ["delivered"]


@dataclass
class ReceiptPoster:
    """Post receipts. `complaints` are receipts that got 4xx: they would never be accepted."""

    ledger: VendorLog
    receipt_formats: Mapping[str, ReceiptFormat]
    style: ReceiptStyle = ReceiptStyle.PLAIN
    complaints: list[str] = field(default_factory=list)
    _withheld: list[tuple[VendorMessage, str]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _http: httpx2.AsyncClient = field(default_factory=lambda: httpx2.AsyncClient(trust_env=False, timeout=10))

    @property
    def due(self) -> int:
        return len(self._tasks)

    async def post_events(self, accepted_message: VendorMessage) -> None:
        """Start posting. Return before the vendor responds to its caller."""
        events = events_of(accepted_message.to)
        if self.style is ReceiptStyle.REVERSED:
            events.reverse()
        if self.style is ReceiptStyle.DUPLICATED:
            events = [event for event in events for _ in range(3)]
        if self.style is ReceiptStyle.WITHHELD:
            self._withheld += [(accepted_message, event) for event in events]
        elif self.style is ReceiptStyle.EARLY:
            for event in events:
                if not await self._post_once(accepted_message, event):
                    self._start_posting(accepted_message, [event])
        else:
            self._start_posting(accepted_message, events)

    def release(self) -> None:
        """Send the withheld receipts, the last first."""
        held, self._withheld = self._withheld, []
        for accepted_message, event in reversed(held):
            self._start_posting(accepted_message, [event])

    def _start_posting(self, accepted_message: VendorMessage, events: list[str]) -> None:
        task = asyncio.create_task(self._deliver(accepted_message, events))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, accepted_message: VendorMessage, events: list[str]) -> None:
        await wait_seconds(POST_DELAY)
        for event in events:
            while not await self._post_once(accepted_message, event):
                await wait_seconds(RETRY_DELAY)

    async def _post_once(self, accepted_message: VendorMessage, event: str) -> bool:
        """Return whether the receipt needs no repetition."""
        receipt_request = self.receipt_formats[accepted_message.provider].receipt_request(accepted_message, event)
        try:
            response = await self._http.post(
                receipt_request.url, content=receipt_request.body, headers=dict(receipt_request.headers)
            )
        except httpx2.TransportError:
            return False
        self.ledger.receipt(accepted_message.provider, accepted_message.reference, event, response.status_code)
        if 400 <= response.status_code < 500:
            self.complaints.append(
                f"{accepted_message.provider} {event} of {accepted_message.reference}: {response.status_code}"
            )
        return response.status_code < 500
