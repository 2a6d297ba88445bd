"""Define the base of all request and response models: strict types, no unknown fields, and types for common JSON
values."""

import re
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from domain.channels import Channel
from domain.durations import parse_duration

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


# Fields of an object. Each unknown one is an error that costs time to report.
FIELD_LIMIT = 100
CHANNEL_LIMIT = 7


def max_members(limit: int) -> BeforeValidator:
    """Return a validator for dicts, in addition to `Field(max_length=limit)`: pydantic validates every member before it
    counts them."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > limit:
            raise ValueError(f"must have at most {limit} members")
        return value

    return BeforeValidator(check)


class Model(BaseModel):
    """Base model. Strict: `"7"` is not an integer and `1` is not a boolean."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _check_field_count(cls, value: object) -> object:
        if isinstance(value, dict) and len(value) > FIELD_LIMIT:
            raise ValueError(f"must have at most {FIELD_LIMIT} fields")
        return value


def _parse_time(value: object) -> object:
    """Convert text with an offset to a UTC time. Pass a datetime, because responses are built from rows."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not RFC_3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 time with an offset, such as 2026-01-31T09:00:00Z")
    whole, fraction, offset = re.fullmatch(r"(.{19})(\.\d+)?(.+)", value.upper()).groups()  # type: ignore[union-attr]
    try:
        return datetime.fromisoformat(whole + (fraction or "")[:7] + offset).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a time that exists") from None


def check_unique_channels(channels: list[Channel]) -> list[Channel]:
    if len(set(channels)) != len(channels):
        raise ValueError("names a channel twice")
    return channels


def _format_utc(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _check_duration(value: str) -> str:
    parse_duration(value)
    return value


Timestamp = Annotated[
    datetime, BeforeValidator(_parse_time), PlainSerializer(_format_utc, return_type=str, when_used="json")
]
ChannelName = Annotated[Channel, Field(strict=False)]
Channels = Annotated[
    list[ChannelName],
    Field(min_length=1, max_length=CHANNEL_LIMIT, json_schema_extra={"uniqueItems": True}),
    AfterValidator(check_unique_channels),
]
Id = Annotated[UUID, Field(strict=False)]
Duration = Annotated[str, StringConstraints(max_length=10), AfterValidator(_check_duration), Field(examples=["10m"])]
# A name that users choose and that appears in URLs: `order.shipped`.
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=128)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Text = Annotated[str, StringConstraints(max_length=4_000)]
