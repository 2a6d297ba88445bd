"""Define the modes of a fake vendor, set at run time over its control port. `ACCEPTING_MODES` are those in which it
accepts.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum

from tests.providers.harness_http import Reply


class FaultyVendorMode(StrEnum):
    OK = "ok"
    THROTTLED_SECONDS = "throttled_seconds"
    THROTTLED_DATE = "throttled_date"
    THROTTLED_ABSURD = "throttled_absurd"
    THROTTLED_BARE = "throttled_bare"
    ERROR = "error"
    UNAUTHORIZED = "unauthorized"
    REDIRECT = "redirect"
    STALL = "stall"  # accepts nothing and does not respond
    CLOSED = "closed"  # does not listen
    ACCEPTED_500 = "accepted_500"
    ACCEPTED_RESET = "accepted_reset"
    ACCEPTED_HANG = "accepted_hang"
    HOLD = "hold"  # accepts, and responds on request
    DRIP = "drip"
    GARBLED = "garbled"
    FLOOD = "flood"
    POISON_NUL = "poison_nul"  # accepts, with a message id that contains NUL
    POISON_LONG = "poison_long"  # the id has 4 kB
    POISON_BYTES = "poison_bytes"  # the id is not UTF-8
    POISON_TYPE = "poison_type"  # the id is not a string


class ReceiptStyle(StrEnum):
    """Define how a vendor sends receipts."""

    PLAIN = "plain"
    DUPLICATED = "duplicated"
    REVERSED = "reversed"
    EARLY = "early"  # before the response to the call
    WITHHELD = "withheld"  # on request


POISONED_MODES = (
    FaultyVendorMode.POISON_NUL,
    FaultyVendorMode.POISON_LONG,
    FaultyVendorMode.POISON_BYTES,
    FaultyVendorMode.POISON_TYPE,
)
ACCEPTING_MODES = frozenset(
    {
        *(
            FaultyVendorMode.OK,
            FaultyVendorMode.ACCEPTED_500,
            FaultyVendorMode.ACCEPTED_RESET,
            FaultyVendorMode.ACCEPTED_HANG,
        ),
        *(
            FaultyVendorMode.HOLD,
            FaultyVendorMode.DRIP,
            FaultyVendorMode.GARBLED,
            FaultyVendorMode.FLOOD,
            *POISONED_MODES,
        ),
    }
)


def _throttled(retry_after: Callable[[], str] | None) -> Reply:
    headers = {"Retry-After": retry_after()} if retry_after else {}
    return Reply(status=429, body={"code": 20429, "message": "Too Many Requests"}, headers=headers)


def _soon() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


def refusal_reply(mode: FaultyVendorMode, url: str) -> Reply:
    """Return the response of a mode that accepts nothing and is not silent."""
    match mode:
        case FaultyVendorMode.THROTTLED_SECONDS:
            return _throttled(lambda: "1")
        case FaultyVendorMode.THROTTLED_DATE:
            return _throttled(_soon)
        case FaultyVendorMode.THROTTLED_ABSURD:
            return _throttled(lambda: "when the moon is full")
        case FaultyVendorMode.THROTTLED_BARE:
            return _throttled(None)
        case FaultyVendorMode.UNAUTHORIZED:
            return Reply(status=401, body={"code": 20003, "errors": [{"message": "unknown account", "field": None}]})
        case FaultyVendorMode.REDIRECT:
            return Reply(status=302, headers={"location": url})
        case _:
            return Reply(status=500, body=b"<html>")
