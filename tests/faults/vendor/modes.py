"""What kind of day a fake vendor has. Set at run time over its control port; `TAKES` are those on which it accepts."""

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
    STALL = "stall"  # takes nothing and says nothing
    CLOSED = "closed"  # nobody listens
    TAKEN_500 = "taken_500"
    TAKEN_RESET = "taken_reset"
    TAKEN_HANG = "taken_hang"
    HOLD = "hold"  # takes it, and answers when it is told to
    DRIP = "drip"
    GARBLED = "garbled"
    FLOOD = "flood"
    POISON_NUL = "poison_nul"  # takes it, with a message id that holds NUL
    POISON_LONG = "poison_long"  # of 4 kB
    POISON_BYTES = "poison_bytes"  # that is not UTF-8
    POISON_TYPE = "poison_type"  # that is no string


class ReceiptStyle(StrEnum):
    """How it reports what became of a message."""

    PLAIN = "plain"
    DUPLICATED = "duplicated"
    REVERSED = "reversed"
    EARLY = "early"  # before it answers the call
    WITHHELD = "withheld"  # until it is told to


POISONED_MODES = (
    FaultyVendorMode.POISON_NUL,
    FaultyVendorMode.POISON_LONG,
    FaultyVendorMode.POISON_BYTES,
    FaultyVendorMode.POISON_TYPE,
)
ACCEPTING_MODES = frozenset(
    {
        *(FaultyVendorMode.OK, FaultyVendorMode.TAKEN_500, FaultyVendorMode.TAKEN_RESET, FaultyVendorMode.TAKEN_HANG),
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
    """What it says on a day on which it takes nothing and is not silent."""
    match mode:
        case FaultyVendorMode.THROTTLED_SECONDS:
            return _throttled(lambda: "1")
        case FaultyVendorMode.THROTTLED_DATE:
            return _throttled(_soon)
        case FaultyVendorMode.THROTTLED_ABSURD:
            return _throttled(lambda: "as soon as the moon is full")
        case FaultyVendorMode.THROTTLED_BARE:
            return _throttled(None)
        case FaultyVendorMode.UNAUTHORIZED:
            return Reply(status=401, body={"code": 20003, "errors": [{"message": "who are you?", "field": None}]})
        case FaultyVendorMode.REDIRECT:
            return Reply(status=302, headers={"location": url})
        case _:
            return Reply(status=500, body=b"<html>")
