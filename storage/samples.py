"""Read the gauges of the whole installation from indexes of open rows. Counts end at 20,000 rows, which takes
milliseconds.

Called by the leader (`dispatch/gauge_sampling.py`).
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metrics.samples import Sample
from storage import provider_health
from storage.statements import statement

PRIORITIES = range(1, 6)
STATEMENT_TIMEOUT = "2s"

# A scan of the table, or of an index into a bitmap, would read everything before the count can end.
STATEMENT_SETTINGS = (
    text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"),
    text("SET LOCAL enable_seqscan = off"),
    text("SET LOCAL enable_bitmapscan = off"),
)
# Index queue_entry_due, for each priority apart, so that a backlog of one does not hide another.
SELECT_QUEUE = statement("samples/select_queue")
# The primary key: ids are UUIDv7, so the smallest is the oldest, and its first 48 bits are its time.
SELECT_OLDEST = text("SELECT notification_id FROM queue_entry ORDER BY notification_id LIMIT 1")
# Index queue_entry_waiting_of_recipient.
COUNT_AT_GATES = statement("samples/count_at_gates")
# Index delivery_held: what was released already is due in a moment.
COUNT_HELD = statement("samples/count_held")
# Index queue_entry_slots.
COUNT_SLOTS = text("SELECT count(*) FROM (SELECT 1 FROM queue_entry WHERE claimed_by IS NOT NULL LIMIT 20000) taken")
COUNT_HOLDS = text("SELECT kind, count(*) AS count FROM hold GROUP BY kind")
# Index receipt_waiting. One that is leased or postponed is due later.
COUNT_RECEIPTS = statement("samples/count_receipts")
# Index event_message_waiting, for each endpoint that takes messages.
COUNT_POSTS = statement("samples/count_posts")
GATE_REASONS = ("frequency_capped", "provider_busy", "quiet_hours", "send_window", "throttled")
HOLD_KINDS = ("channel", "provider", "type")


async def read_sample(session: AsyncSession, providers: list[str]) -> Sample:
    """Read the figures of the metrics. Each of `providers` gets a state, also without any reported call."""
    for limit in STATEMENT_SETTINGS:
        await session.execute(limit)
    queue = await _rows(session, SELECT_QUEUE, {"priorities": list(PRIORITIES)})
    [receipts] = await _rows(session, COUNT_RECEIPTS)
    [posts] = await _rows(session, COUNT_POSTS)
    health = await provider_health.read_health(session)
    known = {name: health[name].state.value if name in health else "closed" for name in providers}
    throttled = {name: float(name in health and health[name].throttled_until is not None) for name in providers}
    values: dict[str, Mapping[str, float]] = {
        "tocsin_queue_depth": {str(row["priority"]): row["count"] for row in queue},
        "tocsin_queue_age_seconds": {str(row["priority"]): float(row["age"] or 0) for row in queue},
        "tocsin_oldest_open_notification_age_seconds": {"": await _oldest_age(session)},
        "tocsin_waits": await _waits(session),
        "tocsin_slots_in_use": {"": await _count(session, COUNT_SLOTS)},
        "tocsin_holds": dict.fromkeys(HOLD_KINDS, 0.0)
        | {row["kind"]: row["count"] for row in await _rows(session, COUNT_HOLDS)},
        "tocsin_provider_throttled": throttled,
        "tocsin_receipts_waiting": {"": receipts["waiting"]},
        "tocsin_receipts_unmatched": {"": receipts["unmatched"]},
        "tocsin_receipt_lag_seconds": {"": float(receipts["lag"] or 0)},
        "tocsin_event_webhooks_waiting": {"": posts["waiting"]},
        "tocsin_event_webhook_lag_seconds": {"": float(posts["lag"] or 0)},
    }
    return Sample(values=values, circuits=known)


async def _waits(session: AsyncSession) -> dict[str, float]:
    """Count waits by cause: 0 for a cause that has ended. An unknown cause counts as `other`."""
    waits = dict.fromkeys((*GATE_REASONS, "held", "other"), 0.0)
    for row in await _rows(session, COUNT_AT_GATES):
        waits[row["cause"] if row["cause"] in GATE_REASONS else "other"] += row["count"]
    return waits | {"held": await _count(session, COUNT_HELD)}


async def _oldest_age(session: AsyncSession) -> float:
    oldest = (await session.execute(SELECT_OLDEST)).scalar_one_or_none()
    if oldest is None:
        return 0.0
    at = (await session.execute(text("SELECT extract(epoch FROM clock_timestamp())"))).scalar_one()
    return max(float(at) - int(oldest.int >> 80) / 1000, 0.0)


async def _count(session: AsyncSession, statement: Any) -> float:
    return float((await session.execute(statement)).scalar_one())


async def _rows(session: AsyncSession, statement: Any, values: Mapping[str, Any] | None = None) -> list[Any]:
    return list((await session.execute(statement, values)).mappings())
