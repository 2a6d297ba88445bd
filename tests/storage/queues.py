"""What a worker process does with the queue, for tests of what lies in it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from domain.cancellation import cancel
from domain.clock import now
from domain.ledger import finish
from domain.reasons import Reason
from domain.records import Ledger
from domain.statuses import NotificationStatus
from storage import claims, releases
from storage.claims import Begun, Claimed, Slots
from storage.database import Database
from storage.ledgers import Key, amend
from tests.storage.sends import Desk, open_desk

ME, OTHER = UUID(int=1), UUID(int=2)
MANY = Slots(total=100, reserved=0)
EVER = timedelta(days=10_000)


async def empty_desk(database: Database) -> Desk:
    """Claims are made over all tenants: there is nothing in the database but what the test puts there."""
    desk = await open_desk(database)
    await desk.query("TRUNCATE notification, queue_entry, engine_state CASCADE")
    return desk


async def accepted(desk: Desk, *priorities: int) -> list[UUID]:
    items = [desk.new(priority=priority) for priority in priorities]
    await desk.accept(*items)
    return [item.id for item in items]


async def claim(
    database: Database, slots: Slots = MANY, *, process: UUID = ME, most: int = 100, look_back: timedelta = EVER
) -> list[Claimed]:
    async with database.statement() as session:
        return (await claims.claim(session, process, slots, most=most, look_back=look_back))[0]


async def is_full(database: Database, slots: Slots, *, most: int = 100) -> bool:
    """Whether a claim leaves the process without room."""
    async with database.statement() as session:
        return (await claims.claim(session, ME, slots, most=most, look_back=EVER))[1]


async def mark(
    database: Database, *some: UUID, process: UUID = ME, generation: int = 1, waits_until: datetime | None = None
) -> None:
    """Their workflows were started, or told."""
    begun = [Begun(id=one, generation=generation, waits_until=waits_until) for one in some]
    async with database.statement() as session:
        await claims.mark_begun(session, process, begun)


async def started(database: Database, *some: UUID) -> None:
    """Claimed and started, of all that are due."""
    await claim(database, Slots(total=10_000, reserved=0), most=10_000)
    await mark(database, *some)


async def postpone(database: Database, some: Sequence[Claimed], seconds: float, *, process: UUID = ME) -> None:
    async with database.statement() as session:
        await claims.postpone(session, process, some, seconds)


async def end_waits(database: Database, *, look_back: timedelta = EVER, limit: int = 100) -> int:
    async with database.statement() as session:
        return await claims.end_waits(session, look_back=look_back, limit=limit)


async def ended(desk: Desk, *some: UUID, canceled: bool = False) -> None:
    for one in some:
        async with desk.database.transaction() as session:
            await amend(session, Key(notification_id=one, tenant=desk.tenant), partial(_over, canceled=canceled))


def _over(ledger: Ledger, *, canceled: bool) -> Ledger:
    return cancel(ledger, now()) if canceled else finish(ledger, now(), NotificationStatus.FAILED, Reason("gave_up"))


async def release(database: Database, limit: int) -> list[UUID]:
    """Make held ones due and claim them: their notifications, as they were claimed."""
    async with database.transaction() as session:
        await releases.release(session, limit)
    return ids(await claim(database, process=OTHER))


def ids(claimed: Iterable[Claimed]) -> list[UUID]:
    return [one.id for one in claimed]


async def entry_of(desk: Desk, id: UUID) -> dict[str, object]:
    [row] = await desk.query("SELECT * FROM queue_entry WHERE notification_id = :id", id=id)
    return row


async def state_of(desk: Desk, id: UUID) -> str:
    return str((await entry_of(desk, id))["state"])


def at(offset: timedelta) -> datetime:
    """From now on."""
    return datetime.now(UTC) + offset


async def age(desk: Desk, seconds: float) -> None:
    """As if so much time had passed for all entries."""
    await desk.query("UPDATE queue_entry SET next_at = next_at - make_interval(secs => :seconds)", seconds=seconds)
