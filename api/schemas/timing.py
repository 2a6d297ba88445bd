"""Models of the timing rules of a type: limits, digests, send windows."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from api.schemas.base import Duration, Model, ShortText
from api.schemas.preferences import Days, TimeOfDay
from domain.cron import parse_cron
from domain.durations import parse_duration
from domain.timing import MAX_ITEMS


def _check_period(value: str | None) -> str | None:
    if value is not None and parse_duration(value) > timedelta(days=31):
        raise ValueError("must be at most 31d")
    return value


def _is_shorter(one: str, other: str) -> bool:
    return parse_duration(one) < parse_duration(other)


def _check_cron(value: str) -> str:
    parse_cron(value)
    return value


LimitPeriod = Annotated[Duration, AfterValidator(_check_period)]
CronText = Annotated[
    str,
    StringConstraints(max_length=255),
    AfterValidator(_check_cron),
    Field(description="Minute, hour, day of the month, month, day of the week.", examples=["0 9 * * mon-fri"]),
]
LimitCount = Annotated[int, Field(ge=1, le=100_000)]


class LimitFields(Model):
    """A window begins with the first notification that is sent. Slots of a window are not returned."""

    limit: LimitCount
    per: LimitPeriod


class ThrottleSpec(LimitFields):
    """With `scope` `recipient`, the limit of one recipient for this type; with `tenant`, that of all recipients
    together. Notifications over it are not sent (`drop`), wait for a slot in a later window, most urgent first
    (`defer`), or are collected into the digest of the type (`digest`)."""

    scope: Literal["recipient", "tenant"] = "recipient"
    on_exceed: Literal["drop", "defer", "digest"] = "drop"


class DigestSpec(Model):
    """Collects notifications of a recipient and sends them as one, with `items` and `total`. A window closes `window`
    after its first item (if `sliding`, after its last item, at most `max_window` after the first), or at the next
    occurrence of `schedule` in the zone of the recipient, and in any case when it has `max_items`."""

    window: LimitPeriod | None = None
    sliding: bool = False
    max_window: Annotated[LimitPeriod | None, Field(description="Maximum length of a sliding window.")] = None
    schedule: CronText | None = None
    key: Annotated[
        ShortText | None,
        Field(description="Payload variable. Each of its values has a separate digest of the recipient."),
    ] = None
    max_items: Annotated[int, Field(ge=1, le=1_000)] = MAX_ITEMS
    send_first_immediately: Annotated[
        bool, Field(description="Send the first item at once, and collect later items of the window.")
    ] = False

    @model_validator(mode="after")
    def _check_one_way_to_close(self) -> Self:
        if (self.window is None) is (self.schedule is None):
            raise ValueError("needs either `window` or `schedule`")
        if self.sliding is not (self.max_window is not None):
            raise ValueError("`sliding` needs `max_window`, and `max_window` needs `sliding`")
        if self.sliding and self.window is None:
            raise ValueError("only a `window` can be `sliding`")
        if self.max_window is not None and self.window is not None and _is_shorter(self.max_window, self.window):
            raise ValueError("`max_window` must not be shorter than the `window`")
        if self.send_first_immediately and self.schedule is not None:
            raise ValueError("`send_first_immediately` needs a `window`")
        return self


class SendWindowSpec(Model):
    """Notifications are sent between `start` and `end` of a day in the zone of the recipient. Otherwise they wait for
    the next window."""

    start: TimeOfDay
    end: TimeOfDay
    days: Annotated[Days | None, Field(description="Days on which the window starts; by default all.")] = None

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.start == self.end:
            raise ValueError("must not start and end at the same time")
        return self
