"""Count the segments of an SMS text, which vendors bill. Used by rendering, the API and adapters.

3GPP TS 23.038 defines the alphabets, 3GPP TS 23.040 the parts of a concatenated message. Language shift tables are not
used: vendors do not send them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain.channels import Channel
from domain.stored_enums import StoredEnum

# At most 1,530 characters. Twilio's limit is 1,600 in any encoding: https://www.twilio.com/docs/api/errors/21617
MAX_SEGMENTS = 10

GSM7_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each of these is an escape and a character: two septets, which one segment must contain.
GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")
GSM7 = GSM7_BASIC | GSM7_EXTENSION


class SmsEncoding(StoredEnum):
    GSM7 = "gsm7"
    UCS2 = "ucs2"


@dataclass(frozen=True, kw_only=True, slots=True)
class SmsSegments:
    """Describe how a text is sent. `units` counts septets of GSM-7 or UTF-16 code units, without headers."""

    encoding: SmsEncoding
    segments: int
    units: int


@dataclass(frozen=True, slots=True)
class SegmentCapacity:
    """Hold the units of a single message, and of each part of a concatenated one, whose header takes the rest."""

    single: int
    part: int


CAPACITIES = {SmsEncoding.GSM7: SegmentCapacity(160, 153), SmsEncoding.UCS2: SegmentCapacity(70, 67)}


def is_gsm7(text: str) -> bool:
    return GSM7.issuperset(text)


def count_segments(text: str) -> SmsSegments:
    """Count as the vendors do. An empty text is one segment."""
    encoding = SmsEncoding.GSM7 if is_gsm7(text) else SmsEncoding.UCS2
    capacity, sizes = CAPACITIES[encoding], list(_character_sizes(text, encoding))
    units = sum(sizes)
    segments = 1 if units <= capacity.single else _count_parts(sizes, capacity.part)
    return SmsSegments(encoding=encoding, segments=segments, units=units)


def segments_of(channel: str, content: Mapping[str, Any] | None) -> SmsSegments | None:
    """Return the segments of rendered content; None for other channels, and without content."""
    text = (content or {}).get("text")
    return count_segments(text) if channel == Channel.SMS and isinstance(text, str) else None


def _character_sizes(text: str, encoding: SmsEncoding) -> Iterator[int]:
    if encoding is SmsEncoding.GSM7:
        return (2 if character in GSM7_EXTENSION else 1 for character in text)
    return (2 if character > "\uffff" else 1 for character in text)


def _count_parts(sizes: list[int], capacity: int) -> int:
    """Count parts of `capacity` units. A character of two units that does not fit begins the next part."""
    parts, free = 1, capacity
    for size in sizes:
        if size > free:
            parts, free = parts + 1, capacity
        free -= size
    return parts
