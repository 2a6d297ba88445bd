"""The other end of the vendors' control port: sets moods, asks how many calls are held, reads the books."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.faults.vendor.ledger import Copy, Entry
from tests.faults.vendor.moods import Mood, Style
from tests.polling import eventually

PROVIDERS = ("sendgrid", "smtp", "twilio")


class Desk:
    def __init__(self, port: int, ledger: Copy) -> None:
        self._port = port
        self.ledger = ledger

    async def ask(self, **order: Any) -> dict[str, Any]:
        """The state after an order; without one only the state."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(json.dumps(order).encode() + b"\n")
        state: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return state

    async def mood(self, mood: Mood, *providers: str) -> None:
        for provider in providers:
            await self.ask(mood=mood, provider=provider)

    @asynccontextmanager
    async def day(self, mood: Mood, *providers: str) -> AsyncIterator[None]:
        """Such a day for as long as the block lasts; then what is held is answered."""
        await self.mood(mood, *providers)
        try:
            yield
        finally:
            await self.mood(Mood.OK, *providers)
            await self.ask(release=True)

    @asynccontextmanager
    async def reporting(self, style: Style) -> AsyncIterator[None]:
        await self.ask(style=style)
        try:
            yield
        finally:
            await self.ask(style=Style.PLAIN, release=True)

    async def holds(self, provider: str, calls: int, within: float = 20) -> None:
        """Waits until so many calls wait for their answer."""

        async def held() -> int:
            return int((await self.ask())["held"][provider])

        await eventually(held, lambda seen: seen >= calls, within)

    async def has_reported(self, within: float = 20) -> None:
        async def due() -> int:
            return int((await self.ask())["receipts_due"])

        await eventually(due, lambda seen: seen == 0, within)

    def references(self, kind: str, provider: str | None = None) -> list[str]:
        return [entry["reference"] for entry in self.ledger.of(kind, provider)]

    def books(self) -> list[Entry]:
        """Calls and messages, as the invariants read them."""
        return [entry for entry in self.ledger.refresh() if entry["kind"] in ("call", "kept")]
