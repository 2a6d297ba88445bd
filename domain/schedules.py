"""Define recurring sends: recipients, due times, and what is caught up after an outage. Pure:
`storage/schedule_occurrences.py` stores the results, `services/recurring_sends.py` runs the sends."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from domain.cron import Cron, parse_cron, tick_interval
from domain.durations import parse_duration
from domain.json_types import Json
from domain.local_times import UTC_ZONE, is_known_zone, known_zone_or_utc, load_zone, to_instant, to_local_time
from domain.names import derived_id, timed_id
from domain.recurrence import next_due
from domain.stored_enums import StoredEnum

RECIPIENT_ZONE = "recipient"  # as `timezone`: each recipient's own
ALL_RECIPIENTS = ""  # as the recipient of an occurrence: all together
ONE_MICROSECOND = timedelta(microseconds=1)
MAX_MISSED_RECORDED = 100  # missed times that are recorded individually
LOOK_BACK_STEPS = tuple(timedelta(minutes=2 * 12**power) for power in range(8))  # 2 min to 136 years
MAX_BATCH_RECIPIENTS = 200
MAX_BATCH_BYTES = 4_000_000


class Overlap(StoredEnum):
    """Name what becomes of an occurrence while notifications of an earlier one are unfinished."""

    SKIP = "skip"
    ALLOW = "allow"


class RunKind(StoredEnum):
    DUE = "due"
    TRIGGER = "trigger"
    BACKFILL = "backfill"


class SkipReason(StoredEnum):
    """Name why nothing was sent, to one recipient or to all."""

    MISSED = "missed"
    OVERLAP = "overlap"
    TYPE_DELETED = "type_deleted"
    SCHEDULE_DELETED = "schedule_deleted"
    UNKNOWN_RECIPIENT = "unknown_recipient"
    UNKNOWN_TIMEZONE = "unknown_timezone"
    NO_RECIPIENTS = "no_recipients"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRule:
    """Define the due times. `starts_at` and `ends_at` may be due times themselves."""

    cron: Cron
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def next(self, zone: str, after: datetime) -> datetime | None:
        """Return the next due time; None: never again."""
        if self.starts_at is not None:
            after = max(after, self.starts_at - ONE_MICROSECOND)
        due = next_due(self.cron, zone, after)
        return None if self.ends_at is not None and due > self.ends_at else due

    def upcoming(self, zone: str, after: datetime) -> Iterator[datetime]:
        while (due := self.next(zone, after)) is not None:
            yield due
            after = due

    def between(self, zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
        """Return the due times from `start` to `end`, both included."""
        for due in self.upcoming(zone, start - ONE_MICROSECOND):
            if due > end:
                return
            yield due

    def is_due(self, zone: str, at: datetime) -> bool:
        return is_known_zone(zone) and next_due(self.cron, zone, at - ONE_MICROSECOND) == at

    def next_for_recipient(self, zone: str, after: datetime, last_local_time: str | None) -> datetime | None:
        """Return the next due time of a recipient who had a run at `last_local_time`. Skip a local time that clocks
        show again after travel to the west."""
        zone_name = known_zone_or_utc(zone)
        if last_local_time is not None:
            after = max(after, to_instant(datetime.fromisoformat(last_local_time), load_zone(zone_name)))
        return self.next(zone_name, after)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleDefinition:
    """Define what is sent to whom and when; `recipients` None: the subscribers of `topic`."""

    id: UUID
    tenant: UUID
    notification_type: str
    rule: ScheduleRule
    timezone: str
    payload: Json
    recipients: tuple[str, ...] | None
    topic: str | None
    overlap: Overlap
    priority: int | None
    channels: tuple[str, ...] | None
    expires_in: timedelta | None
    tags: tuple[str, ...]

    @property
    def is_per_recipient(self) -> bool:
        return self.timezone == RECIPIENT_ZONE


def schedule_of(id: UUID, tenant: UUID, notification_type: str, spec: Json) -> ScheduleDefinition:
    """Build a schedule from `spec` as the API has validated it, with its payload."""
    channels = spec.get("channels")
    return ScheduleDefinition(
        id=id,
        tenant=tenant,
        notification_type=notification_type,
        rule=rule_of(spec),
        timezone=spec["timezone"],
        payload=spec["payload"],
        recipients=recipients_of(spec),
        topic=spec.get("topic"),
        overlap=Overlap(spec["overlap"]),
        priority=spec.get("priority"),
        channels=None if channels is None else tuple(channels),
        expires_in=parse_duration(spec["expires_in"]) if spec.get("expires_in") else None,
        tags=tuple(spec.get("tags") or ()),
    )


def rule_of(spec: Json) -> ScheduleRule:
    return ScheduleRule(
        cron=parse_cron(spec["cron"]),
        starts_at=_parse_time(spec.get("starts_at")),
        ends_at=_parse_time(spec.get("ends_at")),
    )


def recipients_of(spec: Json) -> tuple[str, ...] | None:
    """Return the recipients in the order of the run; None for a topic."""
    if spec.get("topic") is not None:
        return None
    one = spec.get("recipient_id")
    return tuple(sorted(spec.get("recipients") or [])) if one is None else (one,)


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def has_same_times(spec: Json, other: Json) -> bool:
    """Return whether both specs are due at the same times."""
    return all(spec.get(name) == other.get(name) for name in ("cron", "timezone", "starts_at", "ends_at"))


def has_same_occurrences(one: ScheduleDefinition, other: ScheduleDefinition) -> bool:
    """Return whether both have the same recipients, individually or together, and one type."""
    names = ("notification_type", "recipients", "topic", "is_per_recipient")
    return all(getattr(one, name) == getattr(other, name) for name in names)


@dataclass(frozen=True, kw_only=True, slots=True)
class CatchUpResult:
    """Return for a due occurrence the time to `run`, the earlier times that were `missed`, and the next one. With
    `skip_reason` nothing is sent at that time."""

    run: datetime
    missed: tuple[datetime, ...]
    next: datetime | None
    last_local_time: str
    skip_reason: SkipReason | None = None


def catch_up(
    rule: ScheduleRule, zone: str, due_at: datetime, now: datetime, next_zone: str | None = None
) -> CatchUpResult:
    """Run the latest of the due times only. Record the first and the last hundred of the others. `next_zone` is the
    recipient's present zone."""
    if not is_known_zone(zone):
        return _skip_unknown_zone(rule, due_at, now, next_zone or zone)
    due_times = _due_times_until(rule, zone, due_at, now)
    run = due_times[-1]
    last_local_time = to_local_time(run, load_zone(zone)).isoformat()
    return CatchUpResult(
        run=run,
        missed=tuple(dict.fromkeys([due_at, *due_times[-1 - MAX_MISSED_RECORDED : -1]])) if run > due_at else (),
        next=rule.next_for_recipient(
            next_zone or zone, max(now, run), last_local_time if next_zone not in (None, zone) else None
        ),
        last_local_time=last_local_time,
    )


def _skip_unknown_zone(rule: ScheduleRule, due_at: datetime, now: datetime, next_zone: str) -> CatchUpResult:
    """Skip the occurrence without an error, which would block all others of the type until this machine knows the
    zone."""
    return CatchUpResult(
        run=due_at,
        missed=(),
        next=rule.next_for_recipient(next_zone, max(now, due_at), None),
        last_local_time=to_local_time(due_at, load_zone(UTC_ZONE)).isoformat(),
        skip_reason=SkipReason.UNKNOWN_TIMEZONE,
    )


def _due_times_until(rule: ScheduleRule, zone: str, due_at: datetime, now: datetime) -> list[datetime]:
    """Return the latest due times in order: all since `due_at`, or more than a hundred. Search from near to far,
    since a rule of every minute has half a million times in a year."""
    for reach in LOOK_BACK_STEPS:
        start = max(due_at, now - reach)
        found = list(rule.between(zone, start, now))
        if start == due_at or len(found) > MAX_MISSED_RECORDED:
            return found if start > due_at else [due_at, *(at for at in found if at > due_at)]
    raise ValueError("was due before there was a calendar")


def backfill_times(rule: ScheduleRule, zones: set[str], start: datetime, end: datetime, most: int) -> list[datetime]:
    """Return the due times in any of the zones, in order; one more than `most` if there are more."""
    known = filter(is_known_zone, zones)
    times = {at for zone in known for at in islice(rule.between(zone, start, end), most + 1)}
    return sorted(times)[: most + 1]


def scheduled_notification_id(schedule: UUID, recipient_id: str, due_at: datetime) -> UUID:
    """Return the same id for the same occurrence, however often it runs."""
    return timed_id(due_at, "scheduled", schedule, recipient_id, due_at.isoformat())


def run_id(schedule: UUID, kind: RunKind, due_at: datetime) -> UUID:
    return derived_id("run", schedule, kind, due_at.isoformat())


def tick_interval_minutes(rules: list[Cron]) -> int:
    """Return the interval of the ticks; 0: no ticks."""
    return min(map(tick_interval, rules), default=0)


def batch_size_for(payload_bytes: int) -> int:
    """Return how many notifications with this payload one statement takes."""
    return max(1, min(MAX_BATCH_RECIPIENTS, MAX_BATCH_BYTES // max(payload_bytes, 1)))
