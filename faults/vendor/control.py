"""Use the vendors' control port: set modes, count held calls, read the vendor log."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from faults.vendor.vendor_log import Entry, VendorLogReader
from testing.vendors.modes import VendorMode
from testing.vendors.receipts import ReceiptStyle
from tests.polling import eventually

# The vendors that have all modes.
HTTP_VENDORS = ("sendgrid", "twilio", "fcm", "apns", "web_push", "chat")
# Those without receipts or lookups that would show the outcome of a call.
PUSH_AND_CHAT = ("fcm", "apns", "web_push", "chat")
# Those that only some faults use.
OTHER_VENDORS = ("mailgun", "ses", "resend", "vonage")


class VendorControl:
    def __init__(self, port: int, ledger: VendorLogReader) -> None:
        self._port = port
        self.ledger = ledger

    async def send_command(self, **order: Any) -> dict[str, Any]:
        """Send a command, if any, and return the state."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(json.dumps(order).encode() + b"\n")
        state: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return state

    async def mode(self, mode: VendorMode, *providers: str) -> None:
        for provider in providers:
            await self.send_command(mode=mode, provider=provider)

    @asynccontextmanager
    async def with_mode(self, mode: VendorMode, *providers: str) -> AsyncIterator[None]:
        """Set the mode while the block runs, then release held calls."""
        await self.mode(mode, *providers)
        try:
            yield
        finally:
            await self.mode(VendorMode.GOOD, *providers)
            await self.send_command(release=True)

    @asynccontextmanager
    async def reporting(self, style: ReceiptStyle) -> AsyncIterator[None]:
        await self.send_command(style=style)
        try:
            yield
        finally:
            await self.send_command(style=ReceiptStyle.PLAIN, release=True)

    async def wait_for_held_calls(self, provider: str, calls: int, within: float = 20) -> None:
        """Wait until this many calls wait for their response."""

        async def held() -> int:
            return int((await self.send_command())["held"][provider])

        await eventually(held, lambda seen: seen >= calls, within)

    async def wait_for_each(self, providers: Sequence[str]) -> None:
        """Wait until each has held a call, not necessarily at the same time."""
        await asyncio.gather(*(self.wait_for_held_calls(provider, 1) for provider in providers))

    async def wait_until_reported(self, within: float = 20) -> None:
        async def due() -> int:
            return int((await self.send_command())["receipts_due"])

        await eventually(due, lambda seen: seen == 0, within)

    def references(self, kind: str, provider: str | None = None) -> list[str]:
        return [entry["reference"] for entry in self.ledger.of(kind, provider)]

    def calls_and_messages(self) -> list[Entry]:
        """Return calls and messages in the form of the invariants."""
        return [entry for entry in self.ledger.refresh() if entry["kind"] in ("call", "kept")]
