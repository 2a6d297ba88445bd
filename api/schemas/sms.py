"""Models of SMS: how a rendered text is sent."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field

from api.schemas.base import Model
from domain.sms_segments import SmsEncoding, segments_of


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
