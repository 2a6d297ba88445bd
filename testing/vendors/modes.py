"""Define how a fake vendor treats a message, and the responses that are the same for all HTTP vendors."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import Any

from testing.vendors.http import NOT_UTF8


class VendorMode(StrEnum):
    GOOD = "good"
    REFUSES = "refuses"
    THROTTLES = "throttles"  # in the form that the vendor documents
    BREAKS = "breaks"  # refuses the credentials
    HANGS = "hangs"  # accepts nothing and does not respond
    LOSES = "loses"  # accepts, then resets the connection
    RESETS = "resets"
    FAILS = "fails"
    DRIPS = "drips"  # accepts, and responds one byte at a time
    REDIRECTS = "redirects"
    GARBLES = "garbles"  # accepts with an unreadable body
    FLOODS = "floods"  # accepts with ten megabytes
    HOLDS = "holds"  # accepts, and responds on request
    ACCEPTS_AND_FAILS = "accepts_and_fails"
    ACCEPTS_AND_HANGS = "accepts_and_hangs"
    CLOSED = "closed"  # does not listen
    THROTTLES_SECONDS = "throttles_seconds"
    THROTTLES_DATE = "throttles_date"
    THROTTLES_ABSURD = "throttles_absurd"
    THROTTLES_BARE = "throttles_bare"
    POISON_NUL = "poison_nul"  # accepts, with a message id that contains NUL
    POISON_LONG = "poison_long"  # the id has 4 kB
    POISON_BYTES = "poison_bytes"  # the id is not UTF-8
    POISON_TYPE = "poison_type"  # the id is not a string


REFUSING_MODES = (VendorMode.REFUSES, VendorMode.THROTTLES, VendorMode.BREAKS)
RETRY_AFTER_MODES = (
    VendorMode.THROTTLES_SECONDS,
    VendorMode.THROTTLES_DATE,
    VendorMode.THROTTLES_ABSURD,
    VendorMode.THROTTLES_BARE,
)
POISONED_MODES = (VendorMode.POISON_NUL, VendorMode.POISON_LONG, VendorMode.POISON_BYTES, VendorMode.POISON_TYPE)
# In these modes lookups fail like sends: the whole vendor is unavailable, or refuses the credentials.
LOOKUP_FAILING_MODES = frozenset({VendorMode.FAILS, VendorMode.BREAKS, VendorMode.REDIRECTS})


def retry_after(mode: VendorMode) -> dict[str, str]:
    """Return the header of a throttled response, in one of the forms that vendors use."""
    match mode:
        case VendorMode.THROTTLES_SECONDS:
            return {"Retry-After": "1"}
        case VendorMode.THROTTLES_DATE:
            return {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)}
        case VendorMode.THROTTLES_ABSURD:
            return {"Retry-After": "later"}
        case _:
            return {}


def poison(mode: VendorMode, message_id: Any) -> Any:
    """Return the id of an accepted message in this mode. Each message has another one."""
    match mode:
        case VendorMode.POISON_NUL:
            return f"\x00{message_id}\x00"
        case VendorMode.POISON_LONG:
            return f"{message_id}{'x' * 4_000}"
        case VendorMode.POISON_BYTES:
            return f"{NOT_UTF8}{message_id}"
        case VendorMode.POISON_TYPE:
            return [message_id, {"id": 2**70}, None]
        case _:
            return message_id
