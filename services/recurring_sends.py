"""Run recurring sends that are due: claim occurrences, then send to batches of recipients. Each step is one
transaction, may run in any process at any time, and returns how much it handled; 0: nothing is left to do.

Called by the tick of the type, and by the dispatcher for triggered runs.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.cursors import MIN_ID
from domain.schedules import (
    MAX_BATCH_RECIPIENTS,
    CatchUpResult,
    Overlap,
    RunKind,
    ScheduleDefinition,
    SkipReason,
    batch_size_for,
    catch_up,
)
from services.scheduled_sends import OccurrenceResult, ScheduledSends
from storage import recipients, schedule_occurrences, schedule_runs
from storage.database import Database, to_json
from storage.schedule_occurrences import DueOccurrence, NextOccurrence
from storage.schedule_runs import NewScheduleRun, OpenScheduleRun, build_due_run


class RecurringSends:
    """Run the occurrences of schedules. `secret` is the key of the hashes that identify digests."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._sends = ScheduledSends(secret)
        self._last_tenant = MIN_ID
        self._last_run_by_tenant: dict[UUID, UUID] = {}

    async def run_shared_occurrences(self, tenant: UUID, notification_type: str) -> int:
        """Turn due occurrences of schedules in one zone into runs. Other steps then notify the recipients of a run."""
        async with self._database.transaction() as session:
            occurrences = await schedule_occurrences.claim_occurrences(
                session, tenant, notification_type, MAX_BATCH_RECIPIENTS, own=False
            )
            for occurrence in occurrences:
                catch_up_result = catch_up(
                    occurrence.schedule.rule, occurrence.timezone, occurrence.due_at, occurrence.now
                )
                await schedule_runs.record_runs(session, await _due_runs(session, occurrence.schedule, catch_up_result))
                await schedule_occurrences.advance(session, [_next_occurrence(occurrence, catch_up_result)])
        return len(occurrences)

    async def run_recipient_occurrences(self, tenant: UUID, notification_type: str) -> int:
        """Send the due occurrences of schedules in each recipient's own zone."""
        async with self._database.transaction() as session:
            claimed = await schedule_occurrences.claim_occurrences(
                session, tenant, notification_type, MAX_BATCH_RECIPIENTS, own=True
            )
            occurrences = _first_batch(claimed)
            by_schedule: dict[UUID, list[DueOccurrence]] = defaultdict(list)
            for occurrence in occurrences:
                by_schedule[occurrence.schedule.id].append(occurrence)
            for _, own_part in sorted(by_schedule.items()):
                await self._run_recipient_occurrence(session, own_part)
        return len(occurrences)

    async def continue_run_of_type(self, tenant: UUID, notification_type: str) -> int:
        """Send to the next recipients of an unfinished run of this type."""
        async with self._database.transaction() as session:
            run = await schedule_runs.claim_of_type(session, tenant, notification_type)
            return 0 if run is None else await self._continue_run(session, run)

    async def continue_next_run(self) -> int:
        """Send to the next recipients of an unfinished run: tenants round-robin, and the runs of a tenant
        round-robin."""
        async with self._database.statement() as session:
            tenant = await schedule_runs.find_next_tenant(session, self._last_tenant)
        if tenant is None:
            self._last_run_by_tenant.clear()
            return 0
        self._last_tenant = tenant
        async with self._database.transaction() as session:
            run = await schedule_runs.claim_next(session, tenant, self._last_run_by_tenant.get(tenant, MIN_ID))
            if run is None:
                return 0
            self._last_run_by_tenant[tenant] = run.id
            return await self._continue_run(session, run)

    async def _run_recipient_occurrence(self, session: AsyncSession, occurrences: Sequence[DueOccurrence]) -> None:
        schedule = occurrences[0].schedule
        recipient_ids: dict[datetime, list[str]] = defaultdict(list)
        skipped_recipients: dict[datetime, Counter[SkipReason]] = defaultdict(Counter)
        following = []
        for occurrence in occurrences:
            catch_up_result = catch_up(
                schedule.rule, occurrence.timezone, occurrence.due_at, occurrence.now, occurrence.recipient_timezone
            )
            for at in catch_up_result.missed:
                skipped_recipients[at][SkipReason.MISSED] += 1
            if catch_up_result.skip_reason is None:
                recipient_ids[catch_up_result.run].append(occurrence.recipient_id)
            else:
                skipped_recipients[catch_up_result.run][catch_up_result.skip_reason] += 1
            following.append(_next_occurrence(occurrence, catch_up_result))
        await schedule_runs.record_runs(
            session,
            [build_due_run(schedule, at, skipped_recipients=reasons) for at, reasons in skipped_recipients.items()],
        )
        sent = [
            (at, await self._send_without_overlap(session, schedule, at, own_part))
            for at, own_part in recipient_ids.items()
        ]
        await schedule_runs.record_runs(
            session,
            [
                build_due_run(schedule, at, accepted=one.accepted, skipped_recipients=one.skipped_recipients)
                for at, one in sent
            ],
        )
        await schedule_occurrences.advance(session, following)

    async def _send_without_overlap(
        self, session: AsyncSession, schedule: ScheduleDefinition, at: datetime, recipient_ids: list[str]
    ) -> OccurrenceResult:
        busy = set[str]()
        if schedule.overlap is Overlap.SKIP:
            busy = await schedule_runs.find_unfinished_recipients(session, schedule.id, recipient_ids)
        sent = await self._sends.send(session, schedule, at, [one for one in recipient_ids if one not in busy], None)
        if busy:
            sent.skipped_recipients[SkipReason.OVERLAP] += len(busy)
        return sent

    async def _continue_run(self, session: AsyncSession, run: OpenScheduleRun) -> int:
        schedule = run.schedule
        if schedule is None:
            await schedule_runs.finish_run(session, run.id, SkipReason.SCHEDULE_DELETED)
            return 1
        recipient_ids = await _next_recipients(session, schedule, run.after)
        if not recipient_ids:
            await schedule_runs.finish_run(session, run.id)
            return 1
        own_part = await _recipients_with_that_time(session, run, schedule, recipient_ids)
        trigger = run.id if run.kind is RunKind.TRIGGER else None
        sent = await self._sends.send(session, schedule, run.due_at, own_part, trigger)
        await schedule_runs.save_progress(session, run.id, recipient_ids[-1], sent.accepted, sent.skipped_recipients)
        return len(recipient_ids)


def _first_batch(occurrences: Sequence[DueOccurrence]) -> Sequence[DueOccurrence]:
    """Return as many of the first occurrences as one statement takes with their largest payload. The others stay
    unclaimed."""
    payloads = {occurrence.schedule.id: occurrence.schedule.payload for occurrence in occurrences}
    return occurrences[: batch_size_for(max((len(to_json(payload)) for payload in payloads.values()), default=0))]


async def _due_runs(
    session: AsyncSession, schedule: ScheduleDefinition, catch_up_result: CatchUpResult
) -> list[NewScheduleRun]:
    missed = [build_due_run(schedule, at, skip_reason=SkipReason.MISSED) for at in catch_up_result.missed]
    if catch_up_result.skip_reason is not None:
        return [*missed, build_due_run(schedule, catch_up_result.run, skip_reason=catch_up_result.skip_reason)]
    if schedule.overlap is Overlap.SKIP and await schedule_runs.has_unfinished(session, schedule.id):
        return [*missed, build_due_run(schedule, catch_up_result.run, skip_reason=SkipReason.OVERLAP)]
    return [*missed, build_due_run(schedule, catch_up_result.run, is_finished=False)]


def _next_occurrence(occurrence: DueOccurrence, catch_up_result: CatchUpResult) -> NextOccurrence:
    return NextOccurrence(
        schedule_id=occurrence.schedule.id,
        recipient_id=occurrence.recipient_id,
        due_at=catch_up_result.next,
        timezone=occurrence.recipient_timezone,
        last_local_time=catch_up_result.last_local_time,
    )


async def _next_recipients(session: AsyncSession, schedule: ScheduleDefinition, after: str) -> list[str]:
    """Return the next recipients by id, as many as one statement takes."""
    limit = batch_size_for(len(to_json(schedule.payload)))
    if schedule.topic is not None:
        return await recipients.list_subscribers(session, schedule.tenant, schedule.topic, after, limit)
    return [recipient for recipient in schedule.recipients or () if recipient > after][:limit]


async def _recipients_with_that_time(
    session: AsyncSession, run: OpenScheduleRun, schedule: ScheduleDefinition, recipient_ids: list[str]
) -> list[str]:
    """Return the recipients of a batch that the occurrence applies to. A backfill in each recipient's own zone applies
    only to recipients in whose zone this is an occurrence."""
    if run.kind is not RunKind.BACKFILL or not schedule.is_per_recipient:
        return recipient_ids
    zones = await recipients.read_timezones(session, schedule.tenant, recipient_ids)
    due = {zone: schedule.rule.is_due(zone, run.due_at) for zone in set(zones.values())}
    return [recipient for recipient in recipient_ids if recipient not in zones or due[zones[recipient]]]
