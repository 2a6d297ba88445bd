"""Models of recurring sends."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from api.schemas.base import ChannelName, Channels, Duration, Id, Key, Model, ShortText, Timestamp
from api.schemas.contact import RecipientId, check_zone
from api.schemas.sends import Tag
from api.schemas.timing import CronText
from domain.json_types import Json
from domain.schedules import RECIPIENT_ZONE

MAX_RECIPIENTS = 1_000
FIRST_YEAR, LAST_YEAR = 1970, 2999
EXAMPLE: Json = {
    "notification_type": "weekly-report",
    "topic": "reports",
    "payload": {"report": "sales"},
    "cron": "0 9 * * mon",
    "timezone": RECIPIENT_ZONE,
}


def _check_zone_or_recipient(value: str) -> str:
    return value if value == RECIPIENT_ZONE else check_zone(value)


def _check_year(value: datetime) -> datetime:
    """Limit years to those in which every rule has a next occurrence in every zone."""
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(f"must be in the years {FIRST_YEAR} to {LAST_YEAR}")
    return value


StartTime = Annotated[Timestamp, AfterValidator(_check_year)]


class ScheduleBody(Model):
    """What is sent, to whom (a recipient, a list or a topic) and when."""

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    notification_type: ShortText
    recipient_id: RecipientId | None = None
    recipients: Annotated[list[RecipientId] | None, Field(min_length=1, max_length=MAX_RECIPIENTS)] = None
    topic: Annotated[Key | None, Field(description="The subscribers of this topic when a run is due.")] = None
    payload: Annotated[
        Json, Field(description="Variables of the templates, checked against their variables_schema.")
    ] = {}
    cron: CronText
    timezone: Annotated[
        str,
        AfterValidator(_check_zone_or_recipient),
        Field(
            max_length=64,
            examples=["Europe/Vienna"],
            description=(
                "An IANA name, or `recipient`: the zone of each recipient, or of the tenant if it has none. A local "
                "time that clocks skip is due when they are set forward; one that occurs twice is due the first "
                "time."
            ),
        ),
    ]
    starts_at: Annotated[StartTime | None, Field(description="No occurrence before this time.")] = None
    ends_at: Annotated[Timestamp | None, Field(description="No occurrence after this time.")] = None
    overlap: Annotated[
        Literal["skip", "allow"],
        Field(description="`skip`: an occurrence is skipped while notifications of an earlier one are not finished."),
    ] = "skip"
    priority: Annotated[
        int | None, Field(ge=1, le=5, description="1 is the most urgent. By default that of the type.")
    ] = None
    channels: Annotated[Channels | None, Field(description="Use only these channels of the route.")] = None
    expires_in: Annotated[Duration | None, Field(description="Counted from the acceptance of each notification.")] = (
        None
    )
    tags: Annotated[list[Tag], Field(max_length=20)] = []

    @model_validator(mode="after")
    def _check_one_audience(self) -> Self:
        if sum(given is not None for given in (self.recipient_id, self.recipients, self.topic)) != 1:
            raise ValueError("needs exactly one of recipient_id, recipients and topic")
        return self

    @model_validator(mode="after")
    def _check_end_after_start(self) -> Self:
        if self.starts_at is not None and self.ends_at is not None and self.ends_at < self.starts_at:
            raise ValueError("ends_at must not be before starts_at")
        return self

    @property
    def named_recipients(self) -> dict[str, str]:
        """The recipients that the body names, by their position in it."""
        if self.recipient_id is not None:
            return {"/recipient_id": self.recipient_id}
        return {f"/recipients/{index}": recipient for index, recipient in enumerate(self.recipients or ())}

    @property
    def spec(self) -> Json:
        spec = self.model_dump(mode="json", exclude={"notification_type"})
        return spec | ({"recipients": list(dict.fromkeys(self.recipients))} if self.recipients else {})


class BackfillBody(Model):
    """Occurrences from `from` to `to`, both included. Both must be in the past."""

    model_config = {"json_schema_extra": {"examples": [{"from": "2026-11-20T00:00:00Z", "to": "2026-11-22T00:00:00Z"}]}}

    start: Annotated[StartTime, Field(alias="from")]
    end: Annotated[Timestamp, Field(alias="to")]

    @model_validator(mode="after")
    def _check_end_after_start(self) -> Self:
        if self.end < self.start:
            raise ValueError("to must not be before from")
        return self


class RunView(Model):
    """One run. `kind`: `due`, `trigger` or `backfill`. `accepted` counts notifications. `skip_reason` says why nothing
    was sent (`missed`, `overlap`, `type_deleted`, `no_recipients`, …). `skipped_recipients` counts recipients by the
    same reasons. `finished_at` is null while recipients remain."""

    id: Id
    kind: str
    due_at: Timestamp
    ran_at: Timestamp
    accepted: int
    skip_reason: str | None
    skipped_recipients: dict[str, int]
    finished_at: Timestamp | None


class PlanningView(Model):
    """Planning computes each recipient's next occurrence after the change at `started_at`. `planned_recipients` counts
    the recipients for whom this is done. The others receive no occurrence until then, and then also one that they
    missed."""

    started_at: Timestamp
    planned_recipients: int


class ScheduleSummary(Model):
    """`next_runs` are the next five occurrences, none while the schedule is paused. They are times in
    `next_runs_timezone`: for a schedule in each recipient's own zone, that of the tenant."""

    key: str
    notification_type: str
    cron: str
    timezone: str
    paused: bool
    next_runs: list[Timestamp]
    next_runs_timezone: str
    created_at: Timestamp
    updated_at: Timestamp


class ScheduleView(ScheduleSummary):
    """The schedule as it was given, without erased recipients. If all named recipients were erased, `recipients` is
    empty. `last_runs` are the last ten runs, newest first. `planning` is the progress after a change of a schedule in
    each recipient's own zone. It is null when the change applies to all recipients, which is immediate for up to
    500."""

    recipient_id: str | None
    recipients: list[str] | None
    topic: str | None
    payload: Json
    starts_at: Timestamp | None
    ends_at: Timestamp | None
    overlap: str
    priority: int | None
    channels: list[ChannelName] | None
    expires_in: str | None
    tags: list[str]
    planning: PlanningView | None
    last_runs: list[RunView]


class TriggerResponse(Model):
    """`last_runs` of the schedule contains this run with its result."""

    run_id: Id


class BackfillResponse(Model):
    """The occurrences that are run. Recipients that already had one of them are skipped for it."""

    times: list[Timestamp]
