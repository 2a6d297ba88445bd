"""Check a number and a text before they are sent, limit the validity of a message, and build the receipt of an inbound
one. Adapters for SMS use this."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain.evidence import ReceiptKind
from domain.inbound_messages import PHONE_NUMBER, InboundMessage, Keyword
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.base import ProviderReceipt
from providers.outcomes import ProviderRefusal

# Seconds: limits of the validity for a vendor that documents none. An SMS that is two days late is rarely of use.
MIN_TTL, MAX_TTL = 1, 172_800
# Stands for the attempt id in the answer to a keyword, which has none. Its receipts are dropped.
ANSWER_REFERENCE = "answer"
KINDS_BY_KEYWORD: Mapping[Keyword | None, ReceiptKind] = {
    Keyword.STOP: ReceiptKind.UNSUBSCRIBED,
    Keyword.START: ReceiptKind.RESUBSCRIBED,
}
INBOUND_KINDS = frozenset(KINDS_BY_KEYWORD.values())


def find_refusal(content: Mapping[str, Any]) -> ProviderRefusal | None:
    """Return why every vendor would refuse this text. Rendering limits its length (`domain/sms_segments.py`)."""
    return None if str(content.get("text") or "").strip() else ProviderRefusal(reason="empty_message")


def find_address_refusal(message: OutgoingMessage, numbers: re.Pattern[str] = PHONE_NUMBER) -> ProviderRefusal | None:
    """Return a refusal of a number that is not in E.164 or does not have the vendor's form of it; otherwise None."""
    return None if numbers.fullmatch(message.address["phone"]) else ProviderRefusal(reason="invalid_address")


def find_ttl(message: OutgoingMessage, minimum: int = MIN_TTL, maximum: int = MAX_TTL) -> int | None:
    """Return the seconds until the message expires, within the vendor's limits. None if it does not expire."""
    if message.expires_at is None:
        return None
    return min(max(int((message.expires_at - datetime.now(UTC)).total_seconds()), minimum), maximum)


def build_inbound_receipts(inbound: InboundMessage, occurred_at: datetime, raw: Json) -> list[ProviderReceipt]:
    """Return the receipt of a message, or none if its sender is no phone number. `raw` identifies the message by the
    vendor's id alone: a repeated callback is the same receipt.
    """
    if not inbound.is_from_phone:
        return []
    kind = KINDS_BY_KEYWORD.get(inbound.keyword, ReceiptKind.UNKNOWN)
    return [ProviderReceipt(kind=kind, occurred_at=occurred_at, inbound=inbound, raw=raw)]
