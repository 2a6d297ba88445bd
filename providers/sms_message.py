"""Check a text before it is sent, limit its validity, and recognize replies that opt out. Adapters for SMS use this."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import ProviderRefusal

# 47 CFR 64.1200(a)(10) and the guidelines of the carriers (CTIA), and STOPALL, which vendors use too.
STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
NON_LETTERS = re.compile(r"[\W_]+")


def find_refusal(content: Mapping[str, Any]) -> ProviderRefusal | None:
    """Return why every vendor would refuse this text. Rendering limits its length (`domain/sms_segments.py`)."""
    return None if str(content.get("text") or "").strip() else ProviderRefusal(reason="empty_message")


def find_ttl(message: OutgoingMessage, minimum: int, maximum: int) -> int | None:
    """Return the seconds until the message expires, within the vendor's limits. None if it does not expire."""
    if message.expires_at is None:
        return None
    return min(max(int((message.expires_at - datetime.now(UTC)).total_seconds()), minimum), maximum)


def normalize_reply(text: str) -> str:
    """Return a reply in the form of `STOP_WORDS`: upper case, without spaces and punctuation."""
    return NON_LETTERS.sub("", text).upper()
