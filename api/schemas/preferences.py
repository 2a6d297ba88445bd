"""Models of a recipient's preferences: per channel, per type or category, and quiet hours."""

import json
from enum import StrEnum
from typing import Annotated, Self

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from api.schemas.base import CHANNEL_LIMIT, ChannelName, Model, Timestamp, max_members
from api.schemas.contact import TimeZone
from domain.json_types import Json
from domain.stored_limits import MAX_PREFERENCE_BYTES, MAX_PREFERENCE_TYPES


class Day(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


def _sort_unique_days(days: list[Day]) -> list[Day]:
    return sorted(set(days), key=list(Day).index)


TYPE_PREFERENCES_DESCRIPTION = (
    f"By notification type or category. At most {MAX_PREFERENCE_TYPES}, and {MAX_PREFERENCE_BYTES} bytes of JSON."
)
QUIET_HOURS_DESCRIPTION = "Quiet hours hold priorities 3 to 5 until they end; null clears."
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), Field(examples=["22:00"])]
DayName = Annotated[Day, Field(strict=False)]
Days = Annotated[list[DayName], Field(min_length=1, max_length=7), AfterValidator(_sort_unique_days)]
# A notification type's key or a category's name.
TypeName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=255)]
CHANNEL_LIMITS = (Field(max_length=CHANNEL_LIMIT), max_members(CHANNEL_LIMIT))
TYPE_LIMITS = (Field(max_length=MAX_PREFERENCE_TYPES), max_members(MAX_PREFERENCE_TYPES))
ChannelSwitches = Annotated[dict[ChannelName, bool], *CHANNEL_LIMITS]
ChannelChanges = Annotated[dict[ChannelName, bool | None], *CHANNEL_LIMITS]
TypeSwitches = Annotated[dict[TypeName, ChannelSwitches], *TYPE_LIMITS]
TypeChanges = Annotated[dict[TypeName, ChannelChanges | None], *TYPE_LIMITS]


def _check_size(switches: Json) -> Json:
    if len(json.dumps(switches, ensure_ascii=False).encode()) > MAX_PREFERENCE_BYTES:
        raise ValueError(f"must have at most {MAX_PREFERENCE_BYTES} bytes of JSON")
    return switches


class QuietHoursBody(Model):
    """From `start` to `end`, past midnight if `end` is earlier. `days` are those on which it starts, by default all."""

    start: TimeOfDay
    end: TimeOfDay
    timezone: Annotated[TimeZone | None, Field(description="By default that of the recipient.")] = None
    days: Days | None = None

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.start == self.end:
            raise ValueError("must not start and end at the same time")
        return self


class QuietHoursChanges(Model):
    start: TimeOfDay | None = None
    end: TimeOfDay | None = None
    timezone: TimeZone | None = None
    days: Days | None = None


class PreferencesBody(Model):
    global_channel_opt_in: Annotated[ChannelSwitches, Field(examples=[{"email": True, "sms": False}])] = {}
    type_channel_preferences: Annotated[
        TypeSwitches,
        AfterValidator(_check_size),
        Field(description=TYPE_PREFERENCES_DESCRIPTION, examples=[{"MARKETING": {"email": False}}]),
    ] = {}
    quiet_hours: Annotated[QuietHoursBody | None, Field(description=QUIET_HOURS_DESCRIPTION)] = None


class PreferenceChanges(Model):
    """Merged with the stored preferences; null removes."""

    global_channel_opt_in: ChannelChanges | None = None
    type_channel_preferences: TypeChanges | None = None
    quiet_hours: Annotated[QuietHoursChanges | None, Field(description=QUIET_HOURS_DESCRIPTION)] = None


class PreferencesView(PreferencesBody):
    """The stored preferences."""

    type_channel_preferences: dict[TypeName, dict[ChannelName, bool]] = {}
    updated_at: Timestamp


class SavedPreferences(PreferencesView):
    """`warnings` is present only if a preference names no notification type and no category."""

    warnings: list[str] = []


def validate_merged(merged: Json) -> PreferencesBody:
    """Validate the result of a merge like a complete body. A merge can leave quiet hours incomplete."""
    try:
        return PreferencesBody.model_validate(merged)
    except ValidationError as error:
        located_errors = [{**detail, "loc": ("body", *detail["loc"])} for detail in error.errors(include_url=False)]
        raise RequestValidationError(located_errors, body=merged) from None
