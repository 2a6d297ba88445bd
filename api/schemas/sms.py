"""Models of SMS: the options of a type, and how a rendered text is sent."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field

from api.schemas.base import Model
from domain.sms_segments import SmsEncoding, segments_of


class SmsSpec(Model):
    """Options of the text of an SMS."""

    fold_typography: Annotated[
        bool,
        Field(
            description=(
                "Replace typographic quotes, dashes, ellipses and spaces if this makes the text GSM-7. A segment has "
                "160 characters of GSM-7, but only 70 of other texts."
            )
        ),
    ] = False


class SmsView(Model):
    """The encoding and the number of segments, which vendors bill. A text that needs more than 10 is not sent."""

    encoding: Annotated[
        SmsEncoding, Field(description="`gsm7`, or `ucs2` if the text has a character that GSM-7 lacks.")
    ]
    segments: int

    @classmethod
    def from_content(cls, channel: str, content: Mapping[str, Any] | None) -> Self | None:
        """Return None for other channels, and without content."""
        found = segments_of(channel, content)
        return None if found is None else cls(encoding=found.encoding, segments=found.segments)
