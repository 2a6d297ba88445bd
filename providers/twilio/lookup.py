"""Interpret Twilio's record of a message, from the response to a send or from its list, and match it to an attempt."""

import re
import unicodedata
from datetime import datetime
from typing import Any

from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.outcomes import ProviderAcceptance, TemporaryError
from providers.transport import parse_http_date

# https://www.twilio.com/docs/usage/tutorials/how-to-use-your-free-trial-account: the prefix of each text.
TRIAL_NOTICE = "Sent from your Twilio trial account - "
NON_ALPHANUMERIC = re.compile(r"[\W_]+")


def build_acceptance(record: Json, status: int = 200) -> ProviderAcceptance:
    """Build the result. The price is negative and usually not known yet. No field is required: a 2xx is an
    acceptance.
    """
    price = str(record.get("price")).removeprefix("-")
    return ProviderAcceptance(
        message_id=str(record["sid"]) if record.get("sid") else None,
        response={"status": status, "message_status": record.get("status"), "price_unit": record.get("price_unit")},
        cost=price if re.fullmatch(r"\d{1,5}(\.\d{1,6})?", price, re.ASCII) else None,
    )


def created_at(record: Json) -> datetime:
    """Return the time, in whole seconds. Raises TemporaryError for a listed record without a time or an id."""
    created_time = parse_http_date(str(record.get("date_created")))
    if created_time is None or not record.get("sid"):
        raise TemporaryError("malformed_response")
    return created_time


def may_match(record: Json, message: OutgoingMessage) -> bool:
    """Compare the letters and digits of the texts.

    Twilio may replace quotes and dashes (Smart Encoding), and stores no text for an account with redacted bodies. To
    miss a message that exists would send it twice.
    """
    stored_text, sent_text, notice = (
        _normalize_text(text) for text in (record.get("body"), message.content["text"], TRIAL_NOTICE)
    )
    return record.get("to") == message.address["phone"] and stored_text in ("", sent_text, notice + sent_text)


def _normalize_text(text: Any) -> str:
    return NON_ALPHANUMERIC.sub("", unicodedata.normalize("NFKD", str(text or "")))
