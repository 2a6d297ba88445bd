"""What a worker process does with the queue, for tests of what lies in it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from domain.cancellation import cancel_notification
from domain.clock import now
from domain.ledger import finish_notification
from domain.reasons import Reason
from domain.records import Ledger
from domain.statuses import NotificationStatus
from storage import claims, holds
from storage.claims import ClaimedNotification, Slots, StartedClaim
from storage.database import Database
from storage.ledgers import NotificationRef, amend
from tests.storage.sends import DatabaseTenant, open_database_tenant

PROCESS, OTHER_PROCESS = UUID(int=1), UUID(int=2)
MANY_SLOTS = Slots(total=100, reserved=0)
NO_LOOK_BACK_LIMIT = timedelta(days=10_000)


async def only_database_tenant(database: Database) -> DatabaseTenant:
    """Claims are made over all tenants: there is nothing in the database but what the test puts there."""
    database_tenant = await open_database_tenant(database)
    await database_tenant.query("TRUNCATE notification, queue_entry, engine_state CASCADE")
    return database_tenant


async def accept_notifications(database_tenant: DatabaseTenant, *priorities: int) -> list[UUID]:
    items = [database_tenant.new(priority=priority) for priority in priorities]
    await database_tenant.accept(*items)
    return [item.id for item in items]


async def claim(
    database: Database,
    slots: Slots = MANY_SLOTS,
    *,
    process: UUID = PROCESS,
    batch_size: int = 100,
    look_back: timedelta = NO_LOOK_BACK_LIMIT,
) -> list[ClaimedNotification]:
    async with database.statement() as session:
        return (await claims.claim_due(session, process, slots, batch_size=batch_size, look_back=look_back))[0]


async def is_full(database: Database, slots: Slots, *, batch_size: int = 100) -> bool:
    """Whether a claim leaves the process without room."""
    async with database.statement() as session:
        return (await claims.claim_due(session, PROCESS, slots, batch_size=batch_size, look_back=NO_LOOK_BACK_LIMIT))[1]


async def mark_begun_entries(
    database: Database,
    *some: UUID,
    process: UUID = PROCESS,
    generation: int = 1,
    is_resume: bool = False,
    waits_until: datetime | None = None,
) -> None:
    """Mark entries as started, as after their workflows were started or signaled."""
    begun = [StartedClaim(id=one, generation=generation, is_resume=is_resume, waits_until=waits_until) for one in some]
    async with database.statement() as session:
        await claims.mark_started(session, process, begun)


async def claim_and_start(database: Database, *some: UUID) -> None:
    """Claimed and started, of all that are due."""
    await claim(database, Slots(total=10_000, reserved=0), batch_size=10_000)
    await mark_begun_entries(database, *some)


async def postpone(
    database: Database, some: Sequence[ClaimedNotification], seconds: float, *, process: UUID = PROCESS
) -> None:
    async with database.statement() as session:
        await claims.return_claims(session, process, some, seconds)


async def end_waits(database: Database, *, look_back: timedelta = NO_LOOK_BACK_LIMIT, limit: int = 100) -> int:
    async with database.statement() as session:
        return await claims.make_waiting_due(session, look_back=look_back, limit=limit)


async def end_notifications(database_tenant: DatabaseTenant, *some: UUID, canceled: bool = False) -> None:
    for one in some:
        async with database_tenant.database.transaction() as session:
            await amend(
                session,
                NotificationRef(notification_id=one, tenant=database_tenant.tenant),
                partial(_ended_ledger, canceled=canceled),
            )


def _ended_ledger(ledger: Ledger, *, canceled: bool) -> Ledger:
    return (
        cancel_notification(ledger, now())
        if canceled
        else finish_notification(ledger, now(), NotificationStatus.FAILED, Reason("retries_exhausted"))
    )


async def release_and_claim(database: Database, limit: int) -> list[UUID]:
    """Make held ones due and claim them: their notifications, as they were claimed."""
    async with database.transaction() as session:
        await holds.release_held(session, limit)
    return ids(await claim(database, process=OTHER_PROCESS))


def ids(claimed: Iterable[ClaimedNotification]) -> list[UUID]:
    return [one.id for one in claimed]


async def entry_of(database_tenant: DatabaseTenant, id: UUID) -> dict[str, object]:
    [row] = await database_tenant.query("SELECT * FROM queue_entry WHERE notification_id = :id", id=id)
    return row


async def state_of(database_tenant: DatabaseTenant, id: UUID) -> str:
    return str((await entry_of(database_tenant, id))["state"])


def from_now(offset: timedelta) -> datetime:
    """From now on."""
    return datetime.now(UTC) + offset


async def age_entries(database_tenant: DatabaseTenant, seconds: float) -> None:
    """As if so much time had passed for all entries."""
    await database_tenant.query(
        "UPDATE queue_entry SET next_at = next_at - make_interval(secs => :seconds)", seconds=seconds
    )
