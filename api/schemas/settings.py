"""A tenant's own settings."""

from typing import Annotated

from pydantic import AfterValidator, Field

from api.schemas.base import Json, Model
from api.schemas.contact import Locale, TimeZone
from api.schemas.timing import LimitFields
from domain.retention import DEFAULT_CONTENT_DAYS, DEFAULT_RECORD_DAYS, MAX_DAYS
from storage.phone_numbers import REGIONS

EXAMPLE: Json = {
    "default_language": "en",
    "timezone": "Europe/Vienna",
    "frequency_cap": {"limit": 20, "per": "1d"},
    "content_days": DEFAULT_CONTENT_DAYS,
    "record_days": DEFAULT_RECORD_DAYS,
    "phone_regions": ["AT", "DE"],
}


def _check_regions(value: list[str]) -> list[str]:
    if not REGIONS.issuperset(value):
        raise ValueError("must be region codes of ISO 3166, in capital letters, such as AT")
    return sorted(set(value))


PhoneRegions = Annotated[
    list[Annotated[str, Field(min_length=2, max_length=2)]],
    Field(
        min_length=1,
        max_length=300,
        description="Regions (ISO 3166, such as AT) whose phone numbers are accepted and written to; null allows all. "
        "A number whose region is unknown belongs to none of them.",
    ),
    AfterValidator(_check_regions),
]
DayCount = Annotated[int, Field(ge=1, le=MAX_DAYS)]


class FrequencyCap(LimitFields):
    """What one person gets of all types together, but for `required` ones and priorities 1 and 2. What exceeds it
    waits, the most urgent first; of a type with a `digest` it is collected."""


class TenantSettings(Model):
    default_language: Annotated[Locale, Field(description="Of people whose own language has no template.")]
    timezone: Annotated[TimeZone, Field(description="Of people who have none.")]
    frequency_cap: FrequencyCap | None
    content_days: Annotated[
        DayCount,
        Field(
            description="DayCount after the end of a notification until its payload, its rendered content and what"
            " providers answered are removed. Such a notification cannot be redriven."
        ),
    ]
    record_days: Annotated[
        DayCount,
        Field(
            description="DayCount after the end of a notification until all of it is deleted; not before its content."
        ),
    ]
    phone_regions: PhoneRegions | None


class TenantChanges(Model):
    """What is not given stays. A cap and the regions are given whole; null takes them away."""

    default_language: Locale | None = None
    timezone: TimeZone | None = None
    frequency_cap: FrequencyCap | None = None
    content_days: DayCount | None = None
    record_days: DayCount | None = None
    phone_regions: PhoneRegions | None = None
