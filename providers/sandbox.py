"""The sandbox: a vendor that keeps what it "delivered" in a ledger, reports by signed receipts, and misbehaves when
the contact point asks it to. The default of every channel in development, and the fake that users test against.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Self
from uuid import UUID

from domain.channels import Channel, DeviceKind
from domain.evidence import Evidence, ReceiptKind
from domain.outgoing import Message
from providers.base import ForgedReceipt, Provider, ProviderReceipt, UnreadableReceipt, read_json
from providers.outcomes import Accepted, Permanent, Refused, Temporary, Unknown
from providers.tools import SandboxBooks, Tools

SIGNATURE_HEADER = "x-sandbox-signature"
TIMESTAMP_HEADER = "x-sandbox-timestamp"
TOLERANCE = timedelta(minutes=5)

DELIVERED_AFTER = timedelta(seconds=0.2)
OPENED_AFTER = timedelta(seconds=0.5)
LOST_RECEIPTS_AFTER = timedelta(seconds=20)


class Mode(StrEnum):
    """What a word in the address, or the last four digits of a phone number, ask for."""

    REFUSE = "refuse"
    ERROR = "error"
    FLAKY = "flaky"
    THROTTLE = "throttle"
    LOST = "lost"
    HANG = "hang"
    BROKEN = "broken"
    SILENT = "silent"
    OPEN = "open"
    BOUNCE = "bounce"
    COMPLAIN = "complain"


DIGITS = {f"{number:04}": mode for number, mode in enumerate(Mode, start=1)}

# Whatever happened to the calls before: one write instead of two.
ALWAYS_ACCEPTED = (None, Mode.SILENT, Mode.OPEN, Mode.BOUNCE, Mode.COMPLAIN)
# What is reported after "delivered".
AFTERWARDS = {Mode.OPEN: ReceiptKind.OPENED, Mode.COMPLAIN: ReceiptKind.COMPLAINED}
# Reported beside a kind: this vendor's bounces are always hard.
REASONS = {ReceiptKind.BOUNCED: "invalid_address"}


class Sandbox(Provider):
    name: ClassVar[str] = "sandbox"
    channels: ClassVar[frozenset[Channel]] = frozenset(set(Channel) - {Channel.IN_APP})
    device_kinds: ClassVar[frozenset[DeviceKind]] = frozenset(DeviceKind)
    deadline: ClassVar[float] = 5.0
    lookup: ClassVar[str] = "definitive"
    # docs/providers.md#the-sandbox: its books do not lag. This is how long a lost answer stays open, for tests to see.
    settle_window: ClassVar[float] = 10.0
    # It misbehaves for those who ask for it, and is never down.
    has_circuit: ClassVar[bool] = False
    parses_receipts: ClassVar[bool] = True
    reports_up_to: ClassVar[Evidence] = Evidence.CLICKED

    def __init__(self, books: SandboxBooks, secret: bytes) -> None:
        self._books = books
        self._secret = secret

    @classmethod
    def build(cls, tools: Tools) -> Self:
        return cls(tools.sandbox_books, tools.secret)

    async def send(self, message: Message) -> Accepted | Refused:
        mode = mode_of(message.address)
        if mode in ALWAYS_ACCEPTED:
            return accepted(await self._books.accept(message, receipts_of(mode, 1), is_call=True))
        call = await self._books.count_call(message)
        if mode is Mode.REFUSE:
            return Refused(reason="refused_recipient", response={"code": "sandbox_refused"})
        await self._misbehave(mode, call)
        message_id = await self._books.accept(message, receipts_of(mode, call), is_call=False)
        if mode is Mode.LOST and call == 1:
            raise Unknown("connection_reset")
        return accepted(message_id)

    async def _misbehave(self, mode: Mode | None, call: int) -> None:
        if mode is Mode.ERROR or (mode is Mode.FLAKY and call <= 2):
            raise Temporary("unavailable", {"code": 503})
        if mode is Mode.THROTTLE and call == 1:
            raise Temporary("throttled", {"code": 429}, retry_after=1)
        if mode is Mode.BROKEN:
            raise Permanent("credentials_refused", {"code": 401})
        if mode is Mode.HANG:
            await asyncio.Event().wait()

    async def look_up(self, message: Message, since: datetime) -> list[Accepted]:
        return [accepted(message_id) for message_id in await self._books.find(message)]

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        self._verify(headers.get(TIMESTAMP_HEADER, ""), headers.get(SIGNATURE_HEADER, ""), body)
        try:
            return [_receipt(event) for event in read_json(body)["events"]]
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UnreadableReceipt("not a list of sandbox events") from error

    def _verify(self, timestamp: str, signature: str, body: bytes) -> None:
        if not signature:
            raise ForgedReceipt("there is no signature")
        expected = sign(self._secret, timestamp, body)
        if (
            not timestamp.isascii()
            or not timestamp.isdigit()
            or not hmac.compare_digest(expected.encode(), signature.encode())
        ):
            raise ForgedReceipt("the signature does not match")
        if abs(time.time() - int(timestamp[:12])) > TOLERANCE.total_seconds():
            raise ForgedReceipt("the timestamp is more than five minutes away from our clock")


def accepted(message_id: UUID) -> Accepted:
    return Accepted(message_id=str(message_id), response={"status": "queued"}, cost="0")


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`, hexadecimal."""
    return hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def mode_of(address: dict[str, Any]) -> Mode | None:
    """The behaviour that a contact point asks for; None is a vendor on a good day."""
    if phone := address.get("phone"):
        return DIGITS.get(str(phone)[-4:])
    written = json.dumps(address).lower()
    return next((mode for mode in Mode if mode in written), None)


def receipts_of(mode: Mode | None, call: int) -> list[tuple[ReceiptKind, timedelta]]:
    """What will be reported, and when. A lost answer's receipts come late, so that the type's policy decides first."""
    if mode is Mode.SILENT:
        return []
    if mode is Mode.BOUNCE:
        return [(ReceiptKind.BOUNCED, DELIVERED_AFTER)]
    held = LOST_RECEIPTS_AFTER if mode is Mode.LOST and call == 1 else timedelta()
    reports = [(ReceiptKind.DELIVERED, DELIVERED_AFTER + held)]
    return [*reports, (AFTERWARDS[mode], OPENED_AFTER)] if mode in AFTERWARDS else reports


def _receipt(event: dict[str, Any]) -> ProviderReceipt:
    words = set(ReceiptKind)
    return ProviderReceipt(
        kind=ReceiptKind(event["event"]) if event["event"] in words else ReceiptKind.UNKNOWN,
        occurred_at=_moment(event["at"]),
        attempt_id=UUID(str(event["reference"])) if event.get("reference") else None,
        provider_message_id=event.get("message_id"),
        reason=event.get("reason"),
        raw=event,
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its offset")
    return moment.astimezone(UTC)
