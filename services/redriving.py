"""Redrive the notifications that a filter finds, in batches of 500 and at a limited rate. Called by the routes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.audit import Actor, AuditChange
from domain.clock import now
from domain.cursors import MIN_ID
from domain.redrives import redrive_refusal, start_delays, unreachable_reason
from services.route_resolution import RouteResolver
from storage import audit, dead_letters
from storage.database import Database
from storage.dead_letters import PlannedRedrive, RedriveTarget
from storage.notifications import NotificationFilter

BATCH_SIZE = 500
MAX_LISTED_SKIPS = 1_000


@dataclass(frozen=True, kw_only=True)
class RedriveCommand:
    """Hold the caller's request. At most `max_redriven` are redriven, `rate` of them per second (0 is all at once).
    `key_id` and `key_name` identify the caller's API key."""

    tenant: UUID
    key_id: UUID
    key_name: str
    force: bool
    dry_run: bool = False
    max_redriven: int = 1
    rate: float = 0.0


@dataclass
class RedriveResult:
    matched: int
    redriven: int = 0
    skipped: list[tuple[UUID, str]] = field(default_factory=list)


async def redrive_all(
    database: Database, route_resolver: RouteResolver, wanted: NotificationFilter, command: RedriveCommand
) -> RedriveResult:
    """Redrive in one transaction per batch, so that row locks are short. Earlier batches remain redriven if a later one
    fails."""
    async with database.transaction() as session:
        result = RedriveResult(matched=await dead_letters.count_dead_letters(session, command.tenant, wanted))
    last, has_more = MIN_ID, True
    while has_more and result.redriven < command.max_redriven:
        async with database.transaction() as session:
            found = await dead_letters.find_targets(
                session, command.tenant, wanted, after=last, limit=BATCH_SIZE, lock=False
            )
        excluded = await _find_unreachable(route_resolver, command, found)
        if command.dry_run:
            chosen = select_redrivable(found, command, result, excluded)
        else:
            async with database.transaction() as session:
                found = await dead_letters.find_targets(
                    session, command.tenant, wanted, after=last, limit=BATCH_SIZE, lock=True
                )
                chosen = select_redrivable(found, command, result, excluded)
                await _redrive(session, command, chosen, "notifications")
        result.redriven += len(chosen)
        has_more = len(found) == BATCH_SIZE
        last = found[-1].id if found else last
    return result


async def redrive_one(
    database: Database, route_resolver: RouteResolver, id: UUID, command: RedriveCommand
) -> tuple[RedriveTarget, RedriveResult] | None:
    """Redrive one notification. Return its row as it was before and the result, or None if it does not exist."""
    excluded = await _unreachable_reasons(route_resolver, command, [id])
    async with database.transaction() as session:
        found = await dead_letters.lock_target(session, command.tenant, id)
        if found is None:
            return None
        result = RedriveResult(matched=1)
        chosen = select_redrivable([found], command, result, excluded)
        await _redrive(session, command, chosen, f"notification/{id}")
    result.redriven = len(chosen)
    return found, result


async def _find_unreachable(
    route_resolver: RouteResolver, command: RedriveCommand, found: Sequence[RedriveTarget]
) -> Mapping[UUID, str]:
    """Check preferences, suppressions and addresses as the first gate of each notification does. No row is locked,
    because that gate checks again."""
    at = now()
    return await _unreachable_reasons(
        route_resolver,
        command,
        [one.id for one in found if redrive_refusal(one.candidate, at, force=command.force) is None],
    )


async def _unreachable_reasons(
    route_resolver: RouteResolver, command: RedriveCommand, ids: Sequence[UUID]
) -> Mapping[UUID, str]:
    return {
        id: unreachable_reason(skips)
        for id, skips in (await route_resolver.find_unreachable(command.tenant, ids)).items()
    }


async def _redrive(
    session: AsyncSession, command: RedriveCommand, chosen: Sequence[PlannedRedrive], subject: str
) -> None:
    """Redrive the chosen notifications and audit the transaction. A large redrive has several audit entries."""
    if not chosen:
        return
    await dead_letters.redrive(session, command.tenant, chosen, command.key_id)
    after = {"redriven": len(chosen), "force": command.force}
    actor = Actor(name=command.key_name, key_id=command.key_id, tenant=command.tenant)
    change = AuditChange(
        tenant=command.tenant, actor=actor, action="notifications.redriven", subject=subject, after=after
    )
    await audit.record_change(session, change)


def select_redrivable(
    found: list[RedriveTarget], command: RedriveCommand, result: RedriveResult, excluded: Mapping[UUID, str]
) -> list[PlannedRedrive]:
    """Return the redrivable notifications, most urgent first, up to the limit, and record the others as skipped.
    `excluded` maps those without a remaining channel to the reason."""
    at = now()
    redrivable: list[RedriveTarget] = []
    for one in found:
        if result.redriven + len(redrivable) == command.max_redriven:
            break
        reason = redrive_refusal(one.candidate, at, force=command.force) or excluded.get(one.id)
        if reason is None:
            redrivable.append(one)
        elif len(result.skipped) < MAX_LISTED_SKIPS:
            result.skipped.append((one.id, reason))
    redrivable.sort(key=lambda one: (one.priority, one.id))
    waits = start_delays(result.redriven + len(redrivable), command.rate)[result.redriven :]
    return [PlannedRedrive(target=one, delay=delay) for one, delay in zip(redrivable, waits, strict=True)]
