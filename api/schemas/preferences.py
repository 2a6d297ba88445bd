"""What a person wants to receive: per channel, per type or category and channel, and when not."""

from enum import StrEnum
from typing import Annotated, Self

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from api.schemas.base import ChannelName, Json, Model, Timestamp
from api.schemas.contact import TimeZone


class Day(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


def _once_each(days: list[Day]) -> list[Day]:
    return sorted(set(days), key=list(Day).index)


QUIET = "Holds priorities 3 to 5 until its end; null clears."
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), Field(examples=["22:00"])]
DayName = Annotated[Day, Field(strict=False)]
Days = Annotated[list[DayName], Field(min_length=1, max_length=7), AfterValidator(_once_each)]
# A notification type's key or a category's name.
TypeName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=255)]
Channels = dict[ChannelName, bool]
ChannelChanges = dict[ChannelName, bool | None]


class QuietHours(Model):
    """From `start` to `end`, over midnight if `end` is earlier; on the days on which it starts, by default on all."""

    start: TimeOfDay
    end: TimeOfDay
    timezone: Annotated[TimeZone | None, Field(description="By default the person's own.")] = None
    days: Days | None = None

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.start == self.end:
            raise ValueError("must not start and end at the same time")
        return self


class QuietHoursChanges(Model):
    start: TimeOfDay | None = None
    end: TimeOfDay | None = None
    timezone: TimeZone | None = None
    days: Days | None = None


class Preferences(Model):
    global_channel_opt_in: Annotated[Channels, Field(examples=[{"email": True, "sms": False}])] = {}
    type_channel_preferences: Annotated[
        dict[TypeName, Channels],
        Field(description="By notification type or category.", examples=[{"MARKETING": {"email": False}}]),
    ] = {}
    quiet_hours: Annotated[QuietHours | None, Field(description=QUIET)] = None


class PreferenceChanges(Model):
    """Merged with what is known; null removes."""

    global_channel_opt_in: ChannelChanges | None = None
    type_channel_preferences: dict[TypeName, ChannelChanges | None] | None = None
    quiet_hours: Annotated[QuietHoursChanges | None, Field(description=QUIET)] = None


class PreferencesView(Preferences):
    updated_at: Timestamp


def whole(merged: Json) -> Preferences:
    """What a merge made, checked as if it had been sent whole: half a window of quiet hours is none."""
    try:
        return Preferences.model_validate(merged)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults, body=merged) from None
