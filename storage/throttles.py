"""Count the used slots of each limit and queue the notifications that wait for one.

A request locks the row of the window, so counts are exact. Called when preferences are resolved, and by the dispatcher
when a window ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.names import DISPATCH_CHANNEL, QUEUE_DUE
from domain.throttles import CountedLimit, LimitWindow, SlotQueue, has_free_slot, with_slot_taken
from storage.database import to_json
from storage.retention import record_pruned
from storage.statements import Executor, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotRequest:
    notification_id: UUID
    generation: int
    tenant: UUID
    priority: int


# Lock the windows in the order of their keys. A window without a row is treated as an ended one.
LOCK_WINDOWS = statement("throttles/lock_windows")
READ_WINDOWS = statement("throttles/read_windows")
ACQUIRE_SLOTS = statement("throttles/acquire_slots")
# It leaves the queues of other limits: a notification that waits for one limit does not block the queue of another.
ENQUEUE = statement("throttles/enqueue")
# Counts at most 10,000 waiting notifications.
SELECT_WINDOWS = statement("throttles/select_windows")
DEQUEUE = text("""
DELETE FROM throttle_queue_entry WHERE notification_id = :id AND generation = :generation AND granted_at IS NULL
""")
# The lock is a separate statement, so that the next one sees entries that were added while this one waited.
LOCK_ENDED = statement("throttles/lock_ended")
# Open the next window for as many waiting notifications as it has slots, by priority. New requests queue behind them.
# The others wait for the window after that.
OPEN_NEXT = statement("throttles/open_next")
SELECT_NEXT_END = text(
    "SELECT extract(epoch FROM min(ends_at) - clock_timestamp()) FROM throttle_window WHERE has_waiters"
)
# In the order of the primary key, a part of the table at a time: slots and places of notifications that have ended, or
# of an earlier generation. What is open keeps its slot, however often it asks again.
PRUNE_ENTRIES = statement("throttles/prune_entries")
PURGE = statement("throttles/purge")


async def acquire_slots(
    session: AsyncSession, request: SlotRequest, claimed: Sequence[CountedLimit]
) -> list[CountedLimit]:
    """Acquire a slot of every limit, or of none. Return the limits that have no free slot."""
    values = _request_values(request, claimed)
    await session.execute(LOCK_WINDOWS, values)
    rows = [dict(row) for row in (await session.execute(READ_WINDOWS, values)).mappings()]
    at = max(row.pop("now") for row in rows)
    windows = {row["key"]: LimitWindow(**row) for row in rows}
    full_limits = [
        limit_claim for limit_claim in claimed if not has_free_slot(limit_claim.limit, windows[limit_claim.key], at)
    ]
    if not full_limits:
        saved = [
            {
                "key": limit_claim.key,
                **_window_columns(with_slot_taken(limit_claim.limit, windows[limit_claim.key], at)),
            }
            for limit_claim in claimed
        ]
        await session.execute(ACQUIRE_SLOTS, {**values, "windows": to_json(saved)})
    return full_limits


async def read_windows(
    session: Executor, request: SlotRequest, keys: Sequence[str]
) -> dict[str, tuple[LimitWindow, SlotQueue]]:
    """Return, by key, the windows that have begun and the numbers of waiting notifications; `waiting_ahead` counts
    those that precede a new one. Lock and write nothing."""
    values = {"tenant": request.tenant, "priority": request.priority, "keys": list(keys)}
    rows = [dict(row) for row in (await session.execute(SELECT_WINDOWS, values)).mappings()]
    lines = {row["key"]: SlotQueue(waiting=row.pop("waiting"), waiting_ahead=row.pop("waiting_ahead")) for row in rows}
    return {row["key"]: (LimitWindow(**row), lines[row["key"]]) for row in rows}


async def enqueue(session: AsyncSession, request: SlotRequest, full_limits: Sequence[CountedLimit]) -> datetime:
    """Add the notification to the queues of these limits. Return the earliest time at which a slot may be free."""
    ends_at: datetime = (await session.execute(ENQUEUE, _request_values(request, full_limits))).scalar_one()
    return ends_at


async def dequeue(session: AsyncSession, request: SlotRequest) -> None:
    """Remove the notification from the queues, so that it does not block them while it waits for something else."""
    await session.execute(DEQUEUE, {"id": request.notification_id, "generation": request.generation})


def _request_values(request: SlotRequest, claimed: Sequence[CountedLimit]) -> dict[str, object]:
    return {
        "id": request.notification_id,
        "generation": request.generation,
        "tenant": request.tenant,
        "priority": request.priority,
        "keys": [limit_claim.key for limit_claim in claimed],
        "max_slots": [limit_claim.limit.max_count for limit_claim in claimed],
        "per_seconds": [limit_claim.limit.per.total_seconds() for limit_claim in claimed],
    }


def _window_columns(window: LimitWindow) -> dict[str, object]:
    return {"starts_at": window.starts_at, "ends_at": window.ends_at, "used_slots": window.used_slots}


async def open_next(session: AsyncSession, limit: int) -> int:
    """Open windows for waiting notifications. Return how many."""
    ended = (await session.execute(LOCK_ENDED, {"limit": limit})).all()
    if not ended:
        return 0
    values = {"tenants": [row.tenant for row in ended], "keys": [row.key for row in ended]}
    opened = await session.execute(OPEN_NEXT, {**values, "channel": DISPATCH_CHANNEL, "due": QUEUE_DUE})
    return int(opened.one()[0])


async def seconds_to_next(session: Executor) -> float | None:
    """Return the seconds to the end of the first window with waiters, or None without waiters."""
    left = (await session.execute(SELECT_NEXT_END)).scalar_one()
    return None if left is None else max(0.0, float(left))


async def purge(session: Executor, limit: int) -> None:
    """Delete old windows. The next window of a limit does not depend on them."""
    await record_pruned(session, "throttle_window", len((await session.execute(PURGE, {"limit": limit})).all()))


async def prune(session: Executor, after: UUID, limit: int) -> tuple[UUID | None, int]:
    """Read up to `limit` queue entries of notifications after `after`, and delete those of ended notifications. Return
    the last notification, None at the end of the table, and how many rows were deleted."""
    row = (await session.execute(PRUNE_ENTRIES, {"after": after, "limit": limit})).mappings().one()
    await record_pruned(session, "throttle_queue_entry", row["pruned"])
    return (row["last"] if row["looked_at"] == limit else None), row["pruned"]
