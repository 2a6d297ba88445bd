"""Clean and truncate what vendors send, so that Postgres can store it. Outcomes of calls and receipts use these
functions.

Postgres stores no NUL and no lone surrogate, an index entry has at most 2,700 bytes, and JSON has no NaN.
"""

import hashlib
import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.json_types import Json

ID_LIMIT = 255
REASON_LIMIT = 200
# The response of one call. Longer texts and lists are cut; a value that is still too large is replaced.
TEXT_LIMIT = 1_000
ITEM_LIMIT = 50
DEPTH_LIMIT = 6
RESPONSE_LIMIT = 8_000
RAW_DEPTH_LIMIT = 64
TOO_LARGE: Json = {"too_large": True}
COST_LIMIT = Decimal(10**6)  # of the column: six digits before the decimal point
MAX_RETRY_AFTER = 86_400.0

REPLACEMENT = "\ufffd"
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# Control characters, also those of C1, and characters that reorder a line of a log or a terminal.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean_id(value: object) -> str | None:
    """Return the vendor's id of a message. The result is deterministic: receipts are matched by it.

    An id that is too long keeps its beginning and gets a hash of the whole.
    """
    text = "" if value is None else str(value)
    if len(text) > ID_LIMIT:
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
        text = f"{text[: ID_LIMIT - len(digest) - 1]}-{digest}"
    return CONTROL.sub(REPLACEMENT, text) or None


def clean_reason(value: object) -> str:
    return CONTROL.sub(REPLACEMENT, str(value)[:REASON_LIMIT])


def clean_cost(value: object) -> str | None:
    """Return the amount in the format of the column; None for an invalid amount."""
    if value is None:
        return None
    try:
        amount = Decimal(str(value)[:REASON_LIMIT])
        is_amount = amount.is_finite() and abs(amount) < COST_LIMIT - 1
        return format(amount.quantize(Decimal("0.000001")).normalize(), "f") if is_amount else None
    except InvalidOperation:
        return None


def clean_retry_after(value: float | None) -> float | None:
    """Return seconds, at most a day; None for an invalid time."""
    return None if value is None or not math.isfinite(value) else min(max(value, 0.0), MAX_RETRY_AFTER)


def clean_response(value: Json) -> Json:
    """Return the response of a call as JSON of at most `RESPONSE_LIMIT` characters."""
    cut = _cut(value, DEPTH_LIMIT)
    return cut if len(json.dumps(cut, ensure_ascii=False)) <= RESPONSE_LIMIT else dict(TOO_LARGE)


def clean_raw(value: Any, depth: int = RAW_DEPTH_LIMIT) -> Any:
    """Return a receipt's JSON with only what cannot be stored replaced. Its size was checked before."""
    if isinstance(value, str):
        return UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, dict | list) and not depth:
        return f"({type(value).__name__})"
    if isinstance(value, dict):
        return {clean_raw(str(name)): clean_raw(each, depth - 1) for name, each in value.items()}
    if isinstance(value, list):
        return [clean_raw(each, depth - 1) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _cut(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return UNSTORABLE.sub(REPLACEMENT, value[:TEXT_LIMIT])
    if isinstance(value, int):
        return value if abs(value) < 2**63 else "large number"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth and isinstance(value, dict):
        first_items = list(value.items())[:ITEM_LIMIT]
        return {
            UNSTORABLE.sub(REPLACEMENT, str(name)[:REASON_LIMIT]): _cut(each, depth - 1) for name, each in first_items
        }
    if depth and isinstance(value, list | tuple):
        return [_cut(each, depth - 1) for each in value[:ITEM_LIMIT]]
    return f"({type(value).__name__})"
