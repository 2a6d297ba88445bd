"""A tenant's own settings."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Json, Model
from api.schemas.contact import Locale, TimeZone
from api.schemas.timing import LimitFields
from domain.retention import CONTENT_DAYS, LONGEST_DAYS, RECORD_DAYS

EXAMPLE: Json = {
    "default_language": "en",
    "timezone": "Europe/Vienna",
    "person_cap": {"limit": 20, "per": "1d"},
    "content_days": CONTENT_DAYS,
    "record_days": RECORD_DAYS,
}
Days = Annotated[int, Field(ge=1, le=LONGEST_DAYS)]


class PersonCap(LimitFields):
    """What one person gets of all types together, but for `required` ones and priorities 1 and 2. What exceeds it
    waits, the most urgent first; of a type with a `digest` it is collected."""


class TenantSettings(Model):
    default_language: Annotated[Locale, Field(description="Of people whose own language has no template.")]
    timezone: Annotated[TimeZone, Field(description="Of people who have none.")]
    person_cap: PersonCap | None
    content_days: Annotated[
        Days,
        Field(
            description="Days after the end of a notification until its payload, its rendered content and what"
            " providers answered are removed. Such a notification cannot be redriven."
        ),
    ]
    record_days: Annotated[
        Days,
        Field(description="Days after the end of a notification until all of it is deleted; not before its content."),
    ]


class TenantChanges(Model):
    """What is not given stays. A cap is given whole; null takes it away."""

    default_language: Locale | None = None
    timezone: TimeZone | None = None
    person_cap: PersonCap | None = None
    content_days: Days | None = None
    record_days: Days | None = None
