"""Remove what identifies an erased recipient from rows that other recipients need. Called by `storage/erasures.py`."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

PHONE_PATTERN = re.compile(r"\+[\d ()./-]{6,}")
MIN_QUOTE_LENGTH = 6  # characters; of a shorter value only whole texts are replaced


def choose_replacement_id(id: str, *contact_values: str, erasure: UUID) -> str:
    """Return the id under which the history is kept: the recipient's own unless that is an address."""
    known = {_phone_digits(value) or value for value in contact_values}
    is_address = "@" in id or "://" in id or PHONE_PATTERN.fullmatch(id) or (_phone_digits(id) or id) in known
    return f"erased-{erasure}" if is_address else id


def redact(value: Any, quoted: Sequence[str]) -> Any:
    """Return the JSON value without texts that quote one of `quoted`, in its keys too."""
    if isinstance(value, dict):
        return {redact(name, quoted): redact(each, quoted) for name, each in value.items()}
    if isinstance(value, list):
        return [redact(each, quoted) for each in value]
    if not isinstance(value, str):
        return value
    for quote in quoted:
        if value.lower() == quote.lower():
            value = ""
        elif len(quote) >= MIN_QUOTE_LENGTH:
            value = re.sub(re.escape(quote), "", value, flags=re.IGNORECASE)
    return value


def _phone_digits(value: str) -> str:
    """Return the digits of a phone number, in whatever form it is written."""
    return re.sub(r"\D", "", value) if re.fullmatch(r"\+?[\d ()./-]+", value) else ""
