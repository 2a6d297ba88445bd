"""Recurring sends that are due: whose turn it is, and then a chunk of people at a time. Each step is one transaction,
may run anywhere at any time, and says how much it saw to; 0: nothing is left to do.

Called by the tick of their type, and for what is triggered by the dispatcher.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from activities.scheduled_sends import ScheduledSends, Sent
from activities.ticks import DueWork
from domain.schedules import (
    PEOPLE_AT_ONCE,
    CatchUp,
    LeftOut,
    Overlap,
    RunKind,
    Schedule,
    catch_up,
    people_at_once,
)
from storage import recipients, schedule_runs, schedule_turns, topics
from storage.database import Database, to_json
from storage.schedule_runs import NewRun, OpenRun, due_run
from storage.schedule_turns import DueTurn, NextTurn

FIRST = UUID(int=0)


class Recurring:
    """`secret` names groups of digests."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._sends = ScheduledSends(secret)
        self._served_last = FIRST
        self._runs: dict[UUID, UUID] = {}

    @property
    def works(self) -> dict[str, DueWork]:
        """What a tick does of it, in this order."""
        return {"times": self.shared_turns, "own_times": self.own_turns, "people": self.runs}

    async def shared_turns(self, tenant: UUID, notification_type: str) -> int:
        """Schedules in one zone: a time that is due becomes a run, whose people are then seen to."""
        async with self._database.transaction() as session:
            turns = await schedule_turns.claim(session, tenant, notification_type, PEOPLE_AT_ONCE, own=False)
            for turn in turns:
                caught = catch_up(turn.schedule.rule, turn.timezone, turn.due_at, turn.now)
                await schedule_runs.tell(session, await _runs(session, turn.schedule, caught))
                await schedule_turns.advance(session, [_next(turn, caught)])
        return len(turns)

    async def own_turns(self, tenant: UUID, notification_type: str) -> int:
        """Schedules in each one's own zone: the people whose turn it is."""
        async with self._database.transaction() as session:
            claimed = await schedule_turns.claim(session, tenant, notification_type, PEOPLE_AT_ONCE, own=True)
            turns = _at_once(claimed)
            by_schedule: dict[UUID, list[DueTurn]] = defaultdict(list)
            for turn in turns:
                by_schedule[turn.schedule.id].append(turn)
            for _, mine in sorted(by_schedule.items()):
                await self._own(session, mine)
        return len(turns)

    async def runs(self, tenant: UUID, notification_type: str) -> int:
        """The next people of a run of this type that is not through."""
        async with self._database.transaction() as session:
            run = await schedule_runs.claim_of_type(session, tenant, notification_type)
            return 0 if run is None else await self._go_on(session, run)

    async def any_run(self) -> int:
        """The same of any type: tenants in turn, and the runs of a tenant in turn."""
        async with self._database.statement() as session:
            tenant = await schedule_runs.next_tenant(session, self._served_last)
        if tenant is None:
            self._runs.clear()
            return 0
        self._served_last = tenant
        async with self._database.transaction() as session:
            run = await schedule_runs.claim_next(session, tenant, self._runs.get(tenant, FIRST))
            if run is None:
                return 0
            self._runs[tenant] = run.id
            return await self._go_on(session, run)

    async def _own(self, session: AsyncSession, turns: Sequence[DueTurn]) -> None:
        schedule = turns[0].schedule
        people: dict[datetime, list[str]] = defaultdict(list)
        left_out: dict[datetime, Counter[LeftOut]] = defaultdict(Counter)
        following = []
        for turn in turns:
            caught = catch_up(schedule.rule, turn.timezone, turn.due_at, turn.now, turn.zone)
            for at in caught.missed:
                left_out[at][LeftOut.MISSED] += 1
            if caught.left_out is None:
                people[caught.run].append(turn.recipient_id)
            else:
                left_out[caught.run][caught.left_out] += 1
            following.append(_next(turn, caught))
        await schedule_runs.tell(session, [due_run(schedule, at, left_out=reasons) for at, reasons in left_out.items()])
        sent = [(at, await self._send_own(session, schedule, at, mine)) for at, mine in people.items()]
        await schedule_runs.tell(
            session, [due_run(schedule, at, accepted=one.accepted, left_out=one.left_out) for at, one in sent]
        )
        await schedule_turns.advance(session, following)

    async def _send_own(self, session: AsyncSession, schedule: Schedule, at: datetime, people: list[str]) -> Sent:
        busy = set[str]()
        if schedule.overlap is Overlap.SKIP:
            busy = await schedule_runs.unfinished_of(session, schedule.id, people)
        sent = await self._sends.send(session, schedule, at, [one for one in people if one not in busy], None)
        if busy:
            sent.left_out[LeftOut.OVERLAP] += len(busy)
        return sent

    async def _go_on(self, session: AsyncSession, run: OpenRun) -> int:
        schedule = run.schedule
        if schedule is None:
            await schedule_runs.finish(session, run.id, LeftOut.SCHEDULE_DELETED)
            return 1
        people = await _people(session, schedule, run.after)
        if not people:
            await schedule_runs.finish(session, run.id)
            return 1
        mine = await _whose_time(session, run, schedule, people)
        trigger = run.id if run.kind is RunKind.TRIGGER else None
        sent = await self._sends.send(session, schedule, run.due_at, mine, trigger)
        await schedule_runs.go_on(session, run.id, people[-1], sent.accepted, sent.left_out)
        return len(people)


def _at_once(turns: Sequence[DueTurn]) -> Sequence[DueTurn]:
    """As many of the first as one statement takes with the largest of their payloads; the others are not claimed."""
    payloads = {turn.schedule.id: turn.schedule.payload for turn in turns}
    return turns[: people_at_once(max((len(to_json(payload)) for payload in payloads.values()), default=0))]


async def _runs(session: AsyncSession, schedule: Schedule, caught: CatchUp) -> list[NewRun]:
    missed = [due_run(schedule, at, skipped=LeftOut.MISSED) for at in caught.missed]
    if caught.left_out is not None:
        return [*missed, due_run(schedule, caught.run, skipped=caught.left_out)]
    if schedule.overlap is Overlap.SKIP and await schedule_runs.unfinished(session, schedule.id):
        return [*missed, due_run(schedule, caught.run, skipped=LeftOut.OVERLAP)]
    return [*missed, due_run(schedule, caught.run, finished=False)]


def _next(turn: DueTurn, caught: CatchUp) -> NextTurn:
    return NextTurn(
        schedule_id=turn.schedule.id,
        recipient_id=turn.recipient_id,
        due_at=caught.next,
        timezone=turn.zone,
        last_local=caught.last_local,
    )


async def _people(session: AsyncSession, schedule: Schedule, after: str) -> list[str]:
    """As many as one statement takes, by id."""
    limit = people_at_once(len(to_json(schedule.payload)))
    if schedule.topic is not None:
        return await topics.subscribers(session, schedule.tenant, schedule.topic, after, limit)
    return [person for person in schedule.people or () if person > after][:limit]


async def _whose_time(session: AsyncSession, run: OpenRun, schedule: Schedule, people: list[str]) -> list[str]:
    """What is filled in afterwards in each one's own zone is for those only who had that time there."""
    if run.kind is not RunKind.BACKFILL or not schedule.each_by_themselves:
        return people
    zones = await recipients.zones(session, schedule.tenant, people)
    due = {zone: schedule.rule.is_due(zone, run.due_at) for zone in set(zones.values())}
    return [person for person in people if person not in zones or due[zones[person]]]
