"""What a person wants to receive: per channel, per type or category and channel, and when not."""

import json
from enum import StrEnum
from typing import Annotated, Self

from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from api.schemas.base import CHANNEL_LIMIT, ChannelName, Json, Model, Timestamp, at_most
from api.schemas.contact import TimeZone
from domain.stored_limits import PREFERENCE_BYTES, PREFERENCE_TYPES


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


BY_TYPE = f"By notification type or category: at most {PREFERENCE_TYPES}, and {PREFERENCE_BYTES} bytes of JSON."
QUIET = "Holds priorities 3 to 5 until its end; null clears."
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), Field(examples=["22:00"])]
DayName = Annotated[Day, Field(strict=False)]
Days = Annotated[list[DayName], Field(min_length=1, max_length=7), AfterValidator(_once_each)]
# A notification type's key or a category's name.
TypeName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=255)]
ChannelMembers = (Field(max_length=CHANNEL_LIMIT), at_most(CHANNEL_LIMIT))
TypeMembers = (Field(max_length=PREFERENCE_TYPES), at_most(PREFERENCE_TYPES))
ChannelSwitches = Annotated[dict[ChannelName, bool], *ChannelMembers]
ChannelChanges = Annotated[dict[ChannelName, bool | None], *ChannelMembers]
TypeSwitches = Annotated[dict[TypeName, ChannelSwitches], *TypeMembers]
TypeChanges = Annotated[dict[TypeName, ChannelChanges | None], *TypeMembers]


def _fits(switches: Json) -> Json:
    if len(json.dumps(switches, ensure_ascii=False).encode()) > PREFERENCE_BYTES:
        raise ValueError(f"must have at most {PREFERENCE_BYTES} bytes of JSON")
    return switches


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
    global_channel_opt_in: Annotated[ChannelSwitches, Field(examples=[{"email": True, "sms": False}])] = {}
    type_channel_preferences: Annotated[
        TypeSwitches,
        AfterValidator(_fits),
        Field(description=BY_TYPE, examples=[{"MARKETING": {"email": False}}]),
    ] = {}
    quiet_hours: Annotated[QuietHours | None, Field(description=QUIET)] = None


class PreferenceChanges(Model):
    """Merged with what is known; null removes."""

    global_channel_opt_in: ChannelChanges | None = None
    type_channel_preferences: TypeChanges | None = None
    quiet_hours: Annotated[QuietHoursChanges | None, Field(description=QUIET)] = None


class PreferencesView(Preferences):
    """As they are stored."""

    type_channel_preferences: dict[TypeName, dict[ChannelName, bool]] = {}
    updated_at: Timestamp


class SavedPreferences(PreferencesView):
    """`warnings` is there only if a preference names no notification type and no category."""

    warnings: list[str] = []


def whole(merged: Json) -> Preferences:
    """What a merge made, checked as if it had been sent whole: half a window of quiet hours is none."""
    try:
        return Preferences.model_validate(merged)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults, body=merged) from None
