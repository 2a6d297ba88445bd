"""Twilio's record of a message, as it answers a send and as its list has it: what it says, and whether it is ours."""

import re
import unicodedata
from datetime import datetime
from typing import Any

from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import Json, ProviderAcceptance, TemporaryError
from providers.transport import parse_http_date

# https://www.twilio.com/docs/usage/tutorials/how-to-use-your-free-trial-account: what it puts before each text.
TRIAL_NOTICE = "Sent from your Twilio trial account - "
NON_ALPHANUMERIC = re.compile(r"[\W_]+")


def build_acceptance(record: Json, status: int = 200) -> ProviderAcceptance:
    """The price is negative, and mostly not known yet. Nothing of the record need be there: a 2xx is a yes."""
    price = str(record.get("price")).removeprefix("-")
    return ProviderAcceptance(
        message_id=str(record["sid"]) if record.get("sid") else None,
        response={"status": status, "message_status": record.get("status"), "price_unit": record.get("price_unit")},
        cost=price if re.fullmatch(r"\d{1,5}(\.\d{1,6})?", price, re.ASCII) else None,
    )


def created_at(record: Json) -> datetime:
    """Whole seconds. A listed record without a time or an id proves nothing: TemporaryError."""
    created_time = parse_http_date(str(record.get("date_created")))
    if created_time is None or not record.get("sid"):
        raise TemporaryError("malformed_answer")
    return created_time


def may_match(record: Json, message: OutgoingMessage) -> bool:
    """By the letters and digits of its text: Twilio may replace quotes and dashes (Smart Encoding), and keeps no text
    for an account that has bodies redacted. To miss one that is there would send it twice."""
    stored_text, sent_text, notice = (
        _normalize_text(text) for text in (record.get("body"), message.content["text"], TRIAL_NOTICE)
    )
    return record.get("to") == message.address["phone"] and stored_text in ("", sent_text, notice + sent_text)


def _normalize_text(text: Any) -> str:
    return NON_ALPHANUMERIC.sub("", unicodedata.normalize("NFKD", str(text or "")))
