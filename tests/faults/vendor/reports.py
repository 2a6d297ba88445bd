"""Signed receipts of what the vendor took: repeated until they are answered 2xx, as vendors do."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.faults.pace import lasting
from tests.faults.vendor.ledger import Ledger
from tests.faults.vendor.moods import Style

AFTER = 0.2
AGAIN_AFTER = 0.5


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One message that was taken; `callback` is where its receipts go."""

    provider: str
    reference: str
    message_id: Any
    to: str
    callback: str


@dataclass(frozen=True, kw_only=True)
class Posting:
    url: str
    body: bytes
    headers: Mapping[str, str]


class Reporter(ABC):
    """How one vendor words and signs what it reports."""

    @abstractmethod
    def posting(self, taken: Taken, event: str) -> Posting: ...


def events_of(to: str) -> list[str]:
    """What will be reported of a message to that address: a word in it, or a number's last digit, says so."""
    if "silent" in to or (to.startswith("+") and to.endswith("8")):
        return []
    if "open" in to or (to.startswith("+") and to.endswith("9")):
        return ["delivered", "open"]
    return ["delivered"]


@dataclass
class Reports:
    """`complaints` are receipts that were answered 4xx: nobody would ever take them."""

    ledger: Ledger
    reporters: Mapping[str, Reporter]
    style: Style = Style.PLAIN
    complaints: list[str] = field(default_factory=list)
    _withheld: list[tuple[Taken, str]] = field(default_factory=list)
    _posting: set[asyncio.Task[None]] = field(default_factory=set)
    _http: httpx2.AsyncClient = field(default_factory=lambda: httpx2.AsyncClient(trust_env=False, timeout=10))

    @property
    def due(self) -> int:
        return len(self._posting)

    async def announce(self, taken: Taken) -> None:
        """Returns before the vendor answers its caller."""
        events = events_of(taken.to)
        if self.style is Style.REVERSED:
            events.reverse()
        if self.style is Style.DUPLICATED:
            events = [event for event in events for _ in range(3)]
        if self.style is Style.WITHHELD:
            self._withheld += [(taken, event) for event in events]
        elif self.style is Style.EARLY:
            for event in events:
                if not await self._try(taken, event):
                    self._begin(taken, [event])
        else:
            self._begin(taken, events)

    def release(self) -> None:
        """What was withheld goes out, the last first."""
        held, self._withheld = self._withheld, []
        for taken, event in reversed(held):
            self._begin(taken, [event])

    def _begin(self, taken: Taken, events: list[str]) -> None:
        task = asyncio.create_task(self._deliver(taken, events))
        self._posting.add(task)
        task.add_done_callback(self._posting.discard)

    async def _deliver(self, taken: Taken, events: list[str]) -> None:
        await lasting(AFTER)
        for event in events:
            while not await self._try(taken, event):
                await lasting(AGAIN_AFTER)

    async def _try(self, taken: Taken, event: str) -> bool:
        """Whether the receipt needs no repetition."""
        posting = self.reporters[taken.provider].posting(taken, event)
        try:
            answer = await self._http.post(posting.url, content=posting.body, headers=dict(posting.headers))
        except httpx2.TransportError:
            return False
        self.ledger.receipt(taken.provider, taken.reference, event, answer.status_code)
        if 400 <= answer.status_code < 500:
            self.complaints.append(f"{taken.provider} {event} of {taken.reference}: {answer.status_code}")
        return answer.status_code < 500
