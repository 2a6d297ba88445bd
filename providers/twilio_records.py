"""Twilio's record of a message, as it answers a send and as its list has it: what it says, and whether it is ours."""

import re
import unicodedata
from datetime import datetime
from typing import Any

from domain.outgoing import Message
from providers.outcomes import Accepted, Json, Temporary
from providers.transport import moment_of

# https://www.twilio.com/docs/usage/tutorials/how-to-use-your-free-trial-account: what it puts before each text.
TRIAL_NOTICE = "Sent from your Twilio trial account - "
NOT_WRITTEN = re.compile(r"[\W_]+")


def accepted(record: Json, status: int = 200) -> Accepted:
    """The price is negative, and mostly not known yet. Nothing of the record need be there: a 2xx is a yes."""
    price = str(record.get("price")).removeprefix("-")
    return Accepted(
        message_id=str(record["sid"]) if record.get("sid") else None,
        response={"status": status, "message_status": record.get("status"), "price_unit": record.get("price_unit")},
        cost=price if re.fullmatch(r"\d{1,5}(\.\d{1,6})?", price, re.ASCII) else None,
    )


def created(record: Json) -> datetime:
    """Whole seconds. A listed record without a time or an id proves nothing: Temporary."""
    moment = moment_of(str(record.get("date_created")))
    if moment is None or not record.get("sid"):
        raise Temporary("malformed_answer")
    return moment


def may_be(record: Json, message: Message) -> bool:
    """By the letters and digits of its text: Twilio may replace quotes and dashes (Smart Encoding), and keeps no text
    for an account that has bodies redacted. To miss one that is there would send it twice."""
    kept, sent, notice = (_written(text) for text in (record.get("body"), message.content["text"], TRIAL_NOTICE))
    return record.get("to") == message.address["phone"] and kept in ("", sent, notice + sent)


def _written(text: Any) -> str:
    return NOT_WRITTEN.sub("", unicodedata.normalize("NFKD", str(text or "")))
