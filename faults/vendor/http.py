"""Serve a vendor over HTTP: accept a request, log it, and respond according to the mode."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

from faults.vendor import message_ids
from faults.vendor.modes import ACCEPTING_MODES, POISONED_MODES, FaultyVendorMode, refusal_reply
from faults.vendor.receipts import ReceiptPoster, VendorMessage
from faults.vendor.vendor_log import VendorLog
from tests.providers.harness_http import FLOOD, Reply, Request, drip, read_request, reset

# In these modes lookups fail like sends: the whole vendor is down, or refuses the credentials.
LOOKUP_FAILING_MODES = frozenset({FaultyVendorMode.ERROR, FaultyVendorMode.UNAUTHORIZED, FaultyVendorMode.REDIRECT})


class FaultyHttpVendor(ABC):
    """Serve one vendor. `held` counts the calls that wait for `release`, or forever."""

    provider: str

    def __init__(self, ledger: VendorLog, reports: ReceiptPoster) -> None:
        self.mode = FaultyVendorMode.OK
        self.held = 0
        self.poisoned = 0
        self._vendor_log = ledger
        self._reports = reports
        self._released = asyncio.Event()

    @abstractmethod
    def reference(self, request: Request) -> str:
        """Return the attempt id in the request."""

    @abstractmethod
    def accept_message(self, request: Request) -> tuple[VendorMessage, Reply]: ...

    @abstractmethod
    def lookup_reply(self, request: Request) -> Reply:
        """Return the response to a lookup, from the accepted messages."""

    def message_id(self, plain: str) -> Any:
        """Return the id of an accepted message, according to the mode."""
        self.poisoned += self.mode in POISONED_MODES
        return message_ids.message_id(self.mode, plain)

    def release(self) -> None:
        """Respond to held calls. Later ones are held again while the mode stays."""
        self._released.set()
        self._released = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await read_request(reader)
            if request.method == "GET":
                writer.write(message_ids.wire(self._lookup_reply(request)))
            else:
                await self._serve_send(request, reader, writer)
            await writer.drain()
        writer.close()

    def _lookup_reply(self, request: Request) -> Reply:
        reply = (
            refusal_reply(self.mode, request.target)
            if self.mode in LOOKUP_FAILING_MODES
            else self.lookup_reply(request)
        )
        self._vendor_log.looked_up(self.provider, reply.status)
        return reply

    async def _serve_send(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mode = self.mode
        self._vendor_log.call(self.provider, self.reference(request), mode)
        if mode in ACCEPTING_MODES:
            accepted_message, reply = self.accept_message(request)
            self._vendor_log.kept(
                accepted_message.provider,
                accepted_message.reference,
                ascii(accepted_message.message_id).strip("'"),
                accepted_message.to,
            )
            await self._reports.post_events(accepted_message)
            await self._write_reply(reply, mode, reader, writer)
        elif mode is FaultyVendorMode.STALL:
            await self._wait(reader)
            reset(writer)
        else:
            writer.write(refusal_reply(mode, request.target).wire)

    async def _write_reply(
        self, reply: Reply, mode: FaultyVendorMode, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match mode:
            case FaultyVendorMode.ACCEPTED_500:
                writer.write(Reply(status=500, body=b"<html>").wire)
            case FaultyVendorMode.ACCEPTED_RESET:
                reset(writer)
            case FaultyVendorMode.ACCEPTED_HANG:
                await reader.read()
            case FaultyVendorMode.DRIP:
                await drip(reply.wire, reader, writer)
            case FaultyVendorMode.GARBLED:
                writer.write(Reply(status=reply.status, body=b"\xff{").wire)
            case FaultyVendorMode.FLOOD:
                writer.write(Reply(status=reply.status, body=b" " * FLOOD).wire)
            case FaultyVendorMode.HOLD:
                await self._wait(reader)
                writer.write(reply.wire)
            case _ if mode in POISONED_MODES and self.poisoned % 2:
                reset(writer)  # the id is read when the message is looked up
            case _:
                writer.write(message_ids.wire(reply))

    async def _wait(self, reader: asyncio.StreamReader) -> None:
        """Wait for the release, or until the caller disconnects."""
        released, disconnected = asyncio.ensure_future(self._released.wait()), asyncio.ensure_future(reader.read())
        self.held += 1
        await asyncio.wait({released, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        self.held -= 1
        for waiting in (released, disconnected):
            waiting.cancel()
