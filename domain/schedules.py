"""Recurring sends: whom a schedule is for, when it is due next, and what is made up for after a standstill. Pure;
`storage/schedule_turns.py` keeps what is computed here, `activities/recurring.py` runs it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from domain.cron import Cron, parse_cron, tick_minutes
from domain.durations import parse_duration
from domain.local_times import UTC_ZONE, instant, is_known, local_time, reckoned_in, zone_named
from domain.names import derived_id, timed_id
from domain.recurrence import next_due
from domain.stored_enums import StoredEnum

Json = dict[str, Any]

OWN_ZONE = "recipient"  # as `timezone`: each one's own
EVERYBODY = ""  # as the person of a turn: all together
JUST_BEFORE = timedelta(microseconds=1)
MISSED_KEPT = 100  # times that were missed and are recorded one by one
LOOK_BACK = tuple(timedelta(minutes=2 * 12**power) for power in range(8))  # 2 min to 136 years
PEOPLE_AT_ONCE = 200
BYTES_AT_ONCE = 4_000_000


class Overlap(StoredEnum):
    """What becomes of a time that is due while notifications of an earlier one have not finished."""

    SKIP = "skip"
    ALLOW = "allow"


class RunKind(StoredEnum):
    DUE = "due"
    TRIGGER = "trigger"
    BACKFILL = "backfill"


class LeftOut(StoredEnum):
    """Why nothing was sent, to one person or to all."""

    MISSED = "missed"
    OVERLAP = "overlap"
    TYPE_DELETED = "type_deleted"
    SCHEDULE_DELETED = "schedule_deleted"
    UNKNOWN_RECIPIENT = "unknown_recipient"
    UNKNOWN_TIMEZONE = "unknown_timezone"
    NOBODY = "nobody"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """When. `starts_at` and `ends_at` may be due times themselves."""

    cron: Cron
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def next(self, zone: str, after: datetime) -> datetime | None:
        """None: never again."""
        if self.starts_at is not None:
            after = max(after, self.starts_at - JUST_BEFORE)
        due = next_due(self.cron, zone, after)
        return None if self.ends_at is not None and due > self.ends_at else due

    def upcoming(self, zone: str, after: datetime) -> Iterator[datetime]:
        while (due := self.next(zone, after)) is not None:
            yield due
            after = due

    def between(self, zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
        """Those from `start` to `end`, both included."""
        for due in self.upcoming(zone, start - JUST_BEFORE):
            if due > end:
                return
            yield due

    def is_due(self, zone: str, at: datetime) -> bool:
        return is_known(zone) and next_due(self.cron, zone, at - JUST_BEFORE) == at

    def for_one(self, zone: str, after: datetime, last_local: str | None) -> datetime | None:
        """Of somebody who had a run when clocks where they were showed `last_local`: a time that their clocks come to
        again, because they travelled west, is not theirs a second time."""
        there = reckoned_in(zone)
        if last_local is not None:
            after = max(after, instant(datetime.fromisoformat(last_local), zone_named(there)))
        return self.next(there, after)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """What is sent to whom and when; `people` None: the subscribers of `topic`."""

    id: UUID
    tenant: UUID
    notification_type: str
    rule: Rule
    timezone: str
    payload: Json
    people: tuple[str, ...] | None
    topic: str | None
    overlap: Overlap
    priority: int | None
    channels: tuple[str, ...] | None
    expires_in: timedelta | None
    tags: tuple[str, ...]

    @property
    def each_by_themselves(self) -> bool:
        return self.timezone == OWN_ZONE


def schedule_of(id: UUID, tenant: UUID, notification_type: str, spec: Json) -> Schedule:
    """`spec` as the API has validated it, with its payload in the clear."""
    channels = spec.get("channels")
    return Schedule(
        id=id,
        tenant=tenant,
        notification_type=notification_type,
        rule=rule_of(spec),
        timezone=spec["timezone"],
        payload=spec["payload"],
        people=people_of(spec),
        topic=spec.get("topic"),
        overlap=Overlap(spec["overlap"]),
        priority=spec.get("priority"),
        channels=None if channels is None else tuple(channels),
        expires_in=parse_duration(spec["expires_in"]) if spec.get("expires_in") else None,
        tags=tuple(spec.get("tags") or ()),
    )


def rule_of(spec: Json) -> Rule:
    return Rule(
        cron=parse_cron(spec["cron"]), starts_at=_time(spec.get("starts_at")), ends_at=_time(spec.get("ends_at"))
    )


def people_of(spec: Json) -> tuple[str, ...] | None:
    """In the order in which they are run; None where it is a topic's."""
    if spec.get("topic") is not None:
        return None
    one = spec.get("recipient_id")
    return tuple(sorted(spec.get("recipients") or [])) if one is None else (one,)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def same_times(spec: Json, other: Json) -> bool:
    """Whether what is due by one is due by the other."""
    return all(spec.get(name) == other.get(name) for name in ("cron", "timezone", "starts_at", "ends_at"))


def same_turns(one: Schedule, other: Schedule) -> bool:
    """Whether both have the same recipients, one by one or together, and are of one type."""
    names = ("notification_type", "people", "topic", "each_by_themselves")
    return all(getattr(one, name) == getattr(other, name) for name in names)


@dataclass(frozen=True, kw_only=True, slots=True)
class CatchUp:
    """Of a turn that is due: the time to `run`, those before it that were `missed`, and the next one. With `left_out`
    nothing is sent at that time, for this reason."""

    run: datetime
    missed: tuple[datetime, ...]
    next: datetime | None
    last_local: str
    left_out: LeftOut | None = None


def catch_up(rule: Rule, zone: str, due_at: datetime, now: datetime, next_zone: str | None = None) -> CatchUp:
    """Only the latest of the times up to now is run. Of the others the first and the last hundred are told of.
    `next_zone`: where the person is by now."""
    if not is_known(zone):
        return _left_out(rule, due_at, now, next_zone or zone)
    passed = _passed(rule, zone, due_at, now)
    run = passed[-1]
    last_local = local_time(run, zone_named(zone)).isoformat()
    return CatchUp(
        run=run,
        missed=tuple(dict.fromkeys([due_at, *passed[-1 - MISSED_KEPT : -1]])) if run > due_at else (),
        next=rule.for_one(next_zone or zone, max(now, run), last_local if next_zone not in (None, zone) else None),
        last_local=last_local,
    )


def _left_out(rule: Rule, due_at: datetime, now: datetime, next_zone: str) -> CatchUp:
    """Not an error: it would keep all others of the type waiting until this machine knows the zone."""
    return CatchUp(
        run=due_at,
        missed=(),
        next=rule.for_one(next_zone, max(now, due_at), None),
        last_local=local_time(due_at, zone_named(UTC_ZONE)).isoformat(),
        left_out=LeftOut.UNKNOWN_TIMEZONE,
    )


def _passed(rule: Rule, zone: str, due_at: datetime, now: datetime) -> list[datetime]:
    """The latest, in order: all since `due_at`, or more than a hundred. Found from near to far, since a rule of every
    minute has half a million in a year."""
    for reach in LOOK_BACK:
        start = max(due_at, now - reach)
        found = list(rule.between(zone, start, now))
        if start == due_at or len(found) > MISSED_KEPT:
            return found if start > due_at else [due_at, *(at for at in found if at > due_at)]
    raise ValueError("was due before there was a calendar")


def backfill_times(rule: Rule, zones: set[str], start: datetime, end: datetime, most: int) -> list[datetime]:
    """In any of the zones, in order; one more than `most` if there are more."""
    known = filter(is_known, zones)
    times = {at for zone in known for at in islice(rule.between(zone, start, end), most + 1)}
    return sorted(times)[: most + 1]


def notification_id(schedule: UUID, recipient_id: str, due_at: datetime) -> UUID:
    """The same for the same time, however often and by whatever it is run."""
    return timed_id(due_at, "scheduled", schedule, recipient_id, due_at.isoformat())


def run_id(schedule: UUID, kind: RunKind, due_at: datetime) -> UUID:
    return derived_id("run", schedule, kind, due_at.isoformat())


def minutes_for(rules: list[Cron]) -> int:
    """How often somebody has to look; 0: not at all."""
    return min(map(tick_minutes, rules), default=0)


def people_at_once(payload_bytes: int) -> int:
    """How many notifications with this payload one statement takes."""
    return max(1, min(PEOPLE_AT_ONCE, BYTES_AT_ONCE // max(payload_bytes, 1)))
