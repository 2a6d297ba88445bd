"""Define what all fake HTTP vendors share: how a request is read, treated according to the mode, and logged."""

import asyncio
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Self

from testing.vendors.http import HOST, HttpListener, Reply, Request, UndocumentedRequest, VendorConnection
from testing.vendors.log import VendorCall, VendorLog, VendorMessage
from testing.vendors.modes import (
    LOOKUP_FAILING_MODES,
    POISONED_MODES,
    REFUSING_MODES,
    RETRY_AFTER_MODES,
    VendorMode,
    poison,
    retry_after,
)

FLOOD = 10 * 1024 * 1024


class FakeVendor(HttpListener):
    """Serve one vendor's documented API. A subclass holds the vendor's routes, bodies, errors, lookups and receipts.

    `mode` applies to every message, unless `mode_of` selects one by the recipient. `reply` and `lookup_override`
    replace the responses to sends and lookups; what they replace is not kept. `authorization` is the header that the
    vendor accepts, or None to accept any; `held` counts the calls that wait for `release`.

    `settings` are those of an adapter that this vendor accepts, by their names without `TOCSIN_<NAME>_`; `FROM` of a
    vendor of SMS is the number that gets the SMS of recipients. `url_settings` get the vendor's URL. `event_names` has
    the vendor's words for `delivered` and `open`, if they differ.
    """

    name: ClassVar[str]
    receipt_type: ClassVar[str] = "application/json"
    settings: ClassVar[Mapping[str, str]] = {}
    url_settings: ClassVar[Sequence[str]] = ("BASE_URL",)
    event_names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, authorization: str | None = None, log: VendorLog | None = None) -> None:
        self.authorization = authorization
        self.accepts_any = authorization is None
        self.log = log or VendorLog()
        self.mode = self.lookup_mode = VendorMode.GOOD
        self.mode_of: Callable[[str], VendorMode] | None = None
        self.reply: Reply | None = None
        self.lookup_override: Reply | None = None
        self.on_accepted: Callable[[FakeVendor, VendorMessage], Awaitable[None]] | None = None
        self.receipts_url = ""
        self.complaints = []
        self.prefix = ""
        self.held = 0
        self._poisoned = 0
        self._released = asyncio.Event()

    @classmethod
    def stand_in(cls, log: VendorLog) -> Self:
        """Return a vendor for `examples/vendors.py`, which accepts any credentials."""
        return cls(None, log=log)

    @classmethod
    def reports(cls) -> bool:
        """Return whether the vendor sends receipts."""
        return cls.receipt_body is not FakeVendor.receipt_body

    def receipt_settings(self) -> Mapping[str, str]:
        """Return the settings that verify this vendor's receipts, by their names without `TOCSIN_<NAME>_`."""
        return {}

    def environment(self) -> dict[str, str]:
        """Return the variables with which an adapter uses this vendor."""
        urls = dict.fromkeys(self.url_settings, self.url)
        return self.variables({**self.settings, **self.receipt_settings(), **urls})

    def variables(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {f"TOCSIN_{self.name.upper()}_{name}": value for name, value in settings.items()}

    @abstractmethod
    def read(self, request: Request) -> VendorMessage:
        """Return the message of a request to send. Raises UndocumentedRequest."""

    @abstractmethod
    def accept(self, message: VendorMessage, request: Request) -> Reply:
        """Keep what a lookup needs, and return the response to an accepted message."""

    @abstractmethod
    def refusal(self, mode: VendorMode) -> Reply:
        """Return the response to a message that is refused or throttled, or has refused credentials."""

    def extra_reply(self, request: Request) -> Reply | None:
        """Respond to requests other than sends and lookups, such as those for an access token."""
        return None

    def repeated_reply(self, request: Request) -> Reply | None:
        """Return the response to a request that repeats an accepted one, at a vendor that recognizes it."""
        return None

    def is_lookup(self, request: Request) -> bool:
        """Return whether the request sends nothing."""
        return request.method == "GET"

    def look_up(self, request: Request) -> Reply:
        """Return the response to a query, from the accepted messages. Raises UndocumentedRequest."""
        raise UndocumentedRequest(f"{self.name} has no {request.path}")

    def is_authenticated(self, request: Request) -> bool:
        given = request.headers.get("authorization")
        if self.accepts_any:
            self.authorization = given
        return given == self.authorization

    def build_receipt(self, message: VendorMessage, event: str, at: datetime) -> bytes:
        """Return a receipt. `event` is `delivered`, `open` or a word of the vendor."""
        return self.receipt_body(message, self.event_names.get(event, event), at)

    def receipt_body(self, message: VendorMessage, event: str, at: datetime) -> bytes:
        """Return a receipt. `event` is the vendor's word. Call `build_receipt` instead."""
        raise NotImplementedError(f"{self.name} has no receipts")

    def inbound_body(self, sender: str, text: str) -> bytes:
        """Return the callback for an SMS from this number, which is in E.164, to one of ours. Each has a new id."""
        raise NotImplementedError(f"{self.name} has no inbound messages")

    def sign_receipt(self, body: bytes, url: str, at: datetime) -> Mapping[str, str]:
        """Return the headers that prove the origin of a receipt sent to this URL at this time."""
        raise NotImplementedError(f"{self.name} has no receipts")

    def signed_receipt(self, body: bytes, url: str, at: datetime) -> tuple[Mapping[str, str], bytes]:
        """Return the headers and the body of a signed receipt. Override it for a vendor that signs inside the body."""
        return self.sign_receipt(body, url, at), body

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}{self.prefix}"

    def set_mode(self, mode: VendorMode) -> None:
        """Set the mode of sends, and of lookups if the whole vendor fails."""
        self.mode = mode
        self.lookup_mode = mode if mode in LOOKUP_FAILING_MODES else VendorMode.GOOD

    def release(self) -> None:
        """Respond to held calls. Later ones are held again while the mode stays."""
        self._released.set()
        self._released = asyncio.Event()

    async def handle(self, request: Request, connection: VendorConnection) -> None:
        try:
            if (extra := self.extra_reply(request)) is not None:
                connection.write(extra)
            elif self.is_lookup(request):
                await self._handle_lookup(request, connection)
            else:
                await self._handle_send(request, connection)
        except (UndocumentedRequest, LookupError, TypeError, ValueError) as error:
            self.complaints.append(f"{self.name} {request.method} {request.path}: {error!r}")
            connection.write(Reply(status=418, body=self.complaints[-1].encode()))

    async def _handle_lookup(self, request: Request, connection: VendorConnection) -> None:
        mode = self.lookup_mode if self.is_authenticated(request) else VendorMode.BREAKS
        self.log.lookup(self.name, request, mode)
        if not await self._refuse(mode, request, connection):
            await self._respond(self.lookup_override or self.look_up(request), mode, connection)

    async def _handle_send(self, request: Request, connection: VendorConnection) -> None:
        message, mode = None, self.mode
        try:
            message = self.read(request)
            mode = self.mode_of(message.to) if self.mode_of else mode
            mode = mode if self.is_authenticated(request) else VendorMode.BREAKS
        finally:
            self.log.call(self.name, VendorCall(at=time.monotonic(), request=request, message=message, mode=mode))
        if await self._refuse(mode, request, connection):
            return
        if self.reply is not None:
            connection.write(self.reply)
            return
        if (repeated := self.repeated_reply(request)) is not None:
            await self._respond(repeated, mode, connection)
            return
        message = replace(message, message_id=poison(mode, message.message_id))
        reply = self.accept(message, request)
        self.log.accepted(self.name, message)
        if self.on_accepted is not None:
            await self.on_accepted(self, message)
        await self._respond(reply, mode, connection)

    async def _refuse(self, mode: VendorMode, request: Request, connection: VendorConnection) -> bool:
        """Respond as a mode that accepts nothing, if it is one, and return whether it is."""
        if mode is VendorMode.HANGS:
            await self._hold(connection)
            connection.reset()
        elif mode is VendorMode.RESETS:
            connection.reset()
        elif mode in REFUSING_MODES:
            connection.write(self.refusal(mode))
        elif mode in RETRY_AFTER_MODES:
            connection.write(replace(self.refusal(VendorMode.THROTTLES), headers=retry_after(mode)))
        elif mode is VendorMode.FAILS:
            connection.write(Reply(status=500, body=b"<html>"))
        elif mode is VendorMode.REDIRECTS:
            connection.write(Reply(status=307, headers={"location": self.url + request.target}))
        else:
            return False
        return True

    async def _respond(self, reply: Reply, mode: VendorMode, connection: VendorConnection) -> None:
        """Respond to an accepted message, according to the mode."""
        match mode:
            case VendorMode.LOSES:
                connection.reset()
            case VendorMode.GARBLES:
                connection.write(Reply(status=reply.status, body=b"\xff{"))
            case VendorMode.FLOODS:
                connection.write(Reply(status=reply.status, body=b" " * FLOOD))
            case VendorMode.DRIPS:
                await connection.drip(reply)
            case VendorMode.ACCEPTS_AND_FAILS:
                connection.write(Reply(status=500, body=b"<html>"))
            case VendorMode.ACCEPTS_AND_HANGS:
                await connection.wait_for_disconnect()
            case VendorMode.HOLDS:
                await self._hold(connection)
                connection.write(reply)
            case _ if mode in POISONED_MODES and self._is_second_poisoned():
                connection.reset()  # the id is read when the message is looked up
            case _:
                connection.write(reply)

    def _is_second_poisoned(self) -> bool:
        self._poisoned += 1
        return self._poisoned % 2 == 1

    async def _hold(self, connection: VendorConnection) -> None:
        """Wait for the release, or until the caller disconnects."""
        waiting = {
            asyncio.ensure_future(self._released.wait()),
            asyncio.ensure_future(connection.wait_for_disconnect()),
        }
        self.held += 1
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        self.held -= 1
        for each in waiting:
            each.cancel()
