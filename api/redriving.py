"""Sends again what a filter finds: some hundred rows in a transaction, spread over time. Called by the routes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from activities.resolution import Resolution
from domain.audit import Actor, Change
from domain.clock import now
from domain.redrives import delays, refusal, unreachable
from storage import audit, redrives
from storage.database import Database
from storage.parked import Filter
from storage.redrives import Found, Redrive

AT_ONCE = 500
SKIPS_NAMED = 1_000


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody wants. `most` are redriven at most, `rate` of them per second (0 is all at once); `key_id`
    and `key_name` are those of the key they used."""

    tenant: UUID
    key_id: UUID
    key_name: str
    force: bool
    dry_run: bool = False
    most: int = 1
    rate: float = 0.0


@dataclass
class Tally:
    matched: int
    redriven: int = 0
    skipped: list[tuple[UUID, str]] = field(default_factory=list)


async def redrive_all(database: Database, resolution: Resolution, wanted: Filter, order: Order) -> Tally:
    """A transaction per batch, so that nobody waits long for a row. What was done stays done if a later one fails."""
    async with database.transaction() as session:
        tally = Tally(matched=await redrives.count(session, order.tenant, wanted))
    last, more = redrives.FIRST, True
    while more and tally.redriven < order.most:
        async with database.transaction() as session:
            found = await redrives.find(session, order.tenant, wanted, after=last, limit=AT_ONCE, lock=False)
        excluded = await _excluded(resolution, order, found)
        if order.dry_run:
            chosen = choose(found, order, tally, excluded)
        else:
            async with database.transaction() as session:
                found = await redrives.find(session, order.tenant, wanted, after=last, limit=AT_ONCE, lock=True)
                chosen = choose(found, order, tally, excluded)
                await _redrive(session, order, chosen, "notifications")
        tally.redriven += len(chosen)
        more = len(found) == AT_ONCE
        last = found[-1].id if found else last
    return tally


async def redrive_one(database: Database, resolution: Resolution, id: UUID, order: Order) -> tuple[Found, Tally] | None:
    """With the row as it was before. None: there is no such notification."""
    excluded = await _unreachable(resolution, order, [id])
    async with database.transaction() as session:
        found = await redrives.find_one(session, order.tenant, id)
        if found is None:
            return None
        tally = Tally(matched=1)
        chosen = choose([found], order, tally, excluded)
        await _redrive(session, order, chosen, f"notification/{id}")
    tally.redriven = len(chosen)
    return found, tally


async def _excluded(resolution: Resolution, order: Order, found: Sequence[Found]) -> Mapping[UUID, str]:
    """Check preferences, suppressions and addresses as the first gate of each notification does. Not under the rows'
    locks: that gate checks them again."""
    at = now()
    return await _unreachable(
        resolution, order, [one.id for one in found if refusal(one.candidate, at, force=order.force) is None]
    )


async def _unreachable(resolution: Resolution, order: Order, ids: Sequence[UUID]) -> Mapping[UUID, str]:
    return {id: unreachable(skips) for id, skips in (await resolution.unreachable(order.tenant, ids)).items()}


async def _redrive(session: AsyncSession, order: Order, chosen: Sequence[Redrive], subject: str) -> None:
    """Record each transaction: a large redrive has several entries."""
    if not chosen:
        return
    await redrives.redrive(session, order.tenant, chosen, order.key_id)
    after = {"redriven": len(chosen), "force": order.force}
    actor = Actor(name=order.key_name, key_id=order.key_id, tenant=order.tenant)
    change = Change(tenant=order.tenant, actor=actor, action="notifications.redriven", subject=subject, after=after)
    await audit.record(session, change)


def choose(found: list[Found], order: Order, tally: Tally, excluded: Mapping[UUID, str]) -> list[Redrive]:
    """Return those that may go, the most urgent first, as long as there is room, and add the others to the tally.
    `excluded` are those that no channel is left for, with the reason."""
    at = now()
    may: list[Found] = []
    for one in found:
        if tally.redriven + len(may) == order.most:
            break
        reason = refusal(one.candidate, at, force=order.force) or excluded.get(one.id)
        if reason is None:
            may.append(one)
        elif len(tally.skipped) < SKIPS_NAMED:
            tally.skipped.append((one.id, reason))
    may.sort(key=lambda one: (one.priority, one.id))
    waits = delays(tally.redriven + len(may), order.rate)[tally.redriven :]
    return [Redrive(found=one, delay=delay) for one, delay in zip(may, waits, strict=True)]
