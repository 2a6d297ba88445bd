"""Implement the sandbox provider: it stores its messages in a table, sends signed receipts, and simulates faults.

The contact point selects the fault. The sandbox is the default of every channel in development, and the fake provider
for users' own tests.
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
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, Provider, ProviderReceipt, UnreadableReceipt, read_json
from providers.context import ProviderContext, SandboxStore
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome

SIGNATURE_HEADER = "x-sandbox-signature"
TIMESTAMP_HEADER = "x-sandbox-timestamp"
TIMESTAMP_TOLERANCE = timedelta(minutes=5)

DELIVERED_DELAY = timedelta(seconds=0.2)
OPENED_DELAY = timedelta(seconds=0.5)
LOST_RECEIPT_DELAY = timedelta(seconds=20)


class SandboxMode(StrEnum):
    """List the faults that a word in the address, or the last four digits of a phone number, select."""

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
    DELAY = "delay"
    UNSUBSCRIBE = "unsubscribe"


MODES_BY_DIGITS = {f"{number:04}": mode for number, mode in enumerate(SandboxMode, start=1)}

# Earlier calls do not matter: one write instead of two.
ACCEPTING_MODES = (
    *(None, SandboxMode.SILENT, SandboxMode.OPEN, SandboxMode.BOUNCE),
    *(SandboxMode.COMPLAIN, SandboxMode.DELAY, SandboxMode.UNSUBSCRIBE),
)
# Reported after "delivered".
FOLLOW_UP_RECEIPTS = {
    SandboxMode.OPEN: ReceiptKind.OPENED,
    SandboxMode.COMPLAIN: ReceiptKind.COMPLAINED,
    SandboxMode.UNSUBSCRIBE: ReceiptKind.UNSUBSCRIBED,
}
# Reported with the kind. Bounces of this vendor are always hard.
RECEIPT_REASONS = {ReceiptKind.BOUNCED: "invalid_address", ReceiptKind.DELAYED: "mailbox_unavailable"}


class Sandbox(Provider):
    name: ClassVar[str] = "sandbox"
    title: ClassVar[str] = "a simulation"
    channels: ClassVar[frozenset[Channel]] = frozenset(set(Channel) - {Channel.IN_APP})
    device_kinds: ClassVar[frozenset[DeviceKind]] = frozenset(DeviceKind)
    deadline: ClassVar[float] = 5.0
    lookup: ClassVar[str] = "definitive"
    # docs/providers.md#the-sandbox: its records do not lag. This is how long a lost response stays open, visible to
    # tests.
    settle_window: ClassVar[float] = 10.0
    # Its faults are requested by contact points. It is never down.
    has_circuit: ClassVar[bool] = False
    receipt_kinds: ClassVar[frozenset[ReceiptKind]] = frozenset(ReceiptKind) - {ReceiptKind.UNKNOWN}
    signature: ClassVar[str] = "HMAC-SHA256 over time and body"
    max_evidence: ClassVar[Evidence] = Evidence.CLICKED

    def __init__(self, store: SandboxStore, secret: bytes) -> None:
        self._store = store
        self._secret = secret

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.sandbox_store, context.secret)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        mode = parse_mode(message.address)
        if mode in ACCEPTING_MODES:
            return build_acceptance(await self._store.accept(message, plan_receipts(mode, 1), is_call=True))
        call_number = await self._store.count_call(message)
        if mode is SandboxMode.REFUSE:
            return ProviderRefusal(reason="refused_recipient", response={"code": "sandbox_refused"})
        await self._simulate_failure(mode, call_number)
        message_id = await self._store.accept(message, plan_receipts(mode, call_number), is_call=False)
        if mode is SandboxMode.LOST and call_number == 1:
            raise UnknownOutcome("connection_reset")
        return build_acceptance(message_id)

    async def _simulate_failure(self, mode: SandboxMode | None, call_number: int) -> None:
        if mode is SandboxMode.ERROR or (mode is SandboxMode.FLAKY and call_number <= 2):
            raise TemporaryError("unavailable", {"code": 503})
        if mode is SandboxMode.THROTTLE and call_number == 1:
            raise TemporaryError("throttled", {"code": 429}, retry_after=1)
        if mode is SandboxMode.BROKEN:
            raise PermanentError("credentials_refused", {"code": 401})
        if mode is SandboxMode.HANG:
            await asyncio.Event().wait()

    async def look_up(self, message: OutgoingMessage, since: datetime) -> list[ProviderAcceptance]:
        return [build_acceptance(message_id) for message_id in await self._store.find(message)]

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        self._verify(headers.get(TIMESTAMP_HEADER, ""), headers.get(SIGNATURE_HEADER, ""), body)
        try:
            return [_parse_receipt(event) for event in read_json(body)["events"]]
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UnreadableReceipt("the body is not a list of sandbox events") from error

    def _verify(self, timestamp: str, signature: str, body: bytes) -> None:
        if not signature:
            raise ForgedReceipt("the signature is missing")
        expected = sign(self._secret, timestamp, body)
        if (
            not timestamp.isascii()
            or not timestamp.isdigit()
            or not hmac.compare_digest(expected.encode(), signature.encode())
        ):
            raise ForgedReceipt("the signature does not match")
        if abs(time.time() - int(timestamp[:12])) > TIMESTAMP_TOLERANCE.total_seconds():
            raise ForgedReceipt("the timestamp differs by more than five minutes from the clock of this machine")


def build_acceptance(message_id: UUID) -> ProviderAcceptance:
    return ProviderAcceptance(message_id=str(message_id), response={"status": "queued"}, cost="0")


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the HMAC-SHA256 of `timestamp.body`, hexadecimal."""
    return hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def parse_mode(address: dict[str, Any]) -> SandboxMode | None:
    """Return the fault that a contact point selects; None selects none."""
    if phone := address.get("phone"):
        return MODES_BY_DIGITS.get(str(phone)[-4:])
    address_text = json.dumps(address).lower()
    return next((mode for mode in SandboxMode if mode in address_text), None)


def plan_receipts(mode: SandboxMode | None, call_number: int) -> list[tuple[ReceiptKind, timedelta]]:
    """Return the receipts to report, with their delays.

    Receipts of a lost response come late, so that the type's policy decides first.
    """
    if mode is SandboxMode.SILENT:
        return []
    if mode is SandboxMode.BOUNCE:
        return [(ReceiptKind.BOUNCED, DELIVERED_DELAY)]
    if mode is SandboxMode.DELAY:
        return [(ReceiptKind.DELAYED, DELIVERED_DELAY), (ReceiptKind.DELIVERED, OPENED_DELAY)]
    delay = LOST_RECEIPT_DELAY if mode is SandboxMode.LOST and call_number == 1 else timedelta()
    reports = [(ReceiptKind.DELIVERED, DELIVERED_DELAY + delay)]
    return [*reports, (FOLLOW_UP_RECEIPTS[mode], OPENED_DELAY)] if mode in FOLLOW_UP_RECEIPTS else reports


def _parse_receipt(event: dict[str, Any]) -> ProviderReceipt:
    known_kinds = set(ReceiptKind)
    return ProviderReceipt(
        kind=ReceiptKind(event["event"]) if event["event"] in known_kinds else ReceiptKind.UNKNOWN,
        occurred_at=_parse_time(event["at"]),
        attempt_id=UUID(str(event["reference"])) if event.get("reference") else None,
        provider_message_id=event.get("message_id"),
        reason=event.get("reason"),
        raw=event,
    )


def _parse_time(text: str) -> datetime:
    parsed_time = datetime.fromisoformat(text)
    if parsed_time.tzinfo is None:
        raise ValueError("a time has no UTC offset")
    return parsed_time.astimezone(UTC)
