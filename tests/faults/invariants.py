"""The promises that must hold after every fault, as SQL: each statement returns the rows that break one.

The sandbox's tables are the vendor's own books, written in transactions of their own; the others are ours.
"""

from collections.abc import Awaitable, Callable
from typing import Any

Rows = Callable[[str], Awaitable[list[dict[str, Any]]]]

ONE_ROW_PER_KEY = """
SELECT tenant, idempotency_key, count(*) FROM notification
 WHERE idempotency_key IS NOT NULL AND idempotency_held GROUP BY 1, 2 HAVING count(*) <> 1
"""

EVERY_ONE_ENDS = "SELECT id, status, dispatched_at FROM notification WHERE finished_at IS NULL"

ENDS_WITH_A_STATUS_THAT_IS_AN_END = "SELECT id FROM notification WHERE finished_at IS NOT NULL AND status = 'PENDING'"

NO_ATTEMPT_IS_LEFT_OPEN = """
SELECT a.id, a.state FROM attempt a JOIN notification n ON n.id = a.notification_id
 WHERE n.finished_at IS NOT NULL AND n.status <> 'IN_DOUBT' AND a.state IN ('planned', 'submitting')
   AND a.evidence IS NULL
"""

# Sends that our rows call unknown may be repeated; all others stand alone, and no attempt sends twice.
AT_MOST_ONE_SEND = """
SELECT m.delivery_id, m.endpoint_id, count(*) FROM sandbox_message m LEFT JOIN attempt a ON a.id = m.attempt_id
 GROUP BY 1, 2
HAVING count(*) FILTER (WHERE a.state IS DISTINCT FROM 'unknown') > 1 OR count(*) > count(DISTINCT m.attempt_id)
    OR count(*) > 1 + (SELECT count(*) FROM attempt u WHERE u.delivery_id = m.delivery_id
                          AND u.endpoint_id = m.endpoint_id AND u.state = 'unknown')
"""

WRITTEN_BEFORE_THE_CALL = """
SELECT c.id, c.at, a.started_at FROM sandbox_call c LEFT JOIN attempt a ON a.id = c.attempt_id
 WHERE a.id IS NULL OR a.started_at > c.at
"""

EVERY_MESSAGE_WAS_CALLED_FOR = """
SELECT m.id FROM sandbox_message m
 WHERE NOT EXISTS (SELECT 1 FROM sandbox_call c WHERE c.attempt_id = m.attempt_id AND c.at <= m.accepted_at)
"""

SENT_IS_NEVER_CALLED_UNSENT = """
SELECT d.id, d.status FROM delivery d JOIN notification n ON n.id = d.notification_id AND n.finished_at IS NOT NULL
  JOIN sandbox_message m ON m.delivery_id = d.id
 WHERE d.status IN ('PENDING', 'SENDING', 'FAILED', 'SKIPPED', 'CANCELED', 'EXPIRED')
   AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.delivery_id = d.id AND a.bounced_at IS NOT NULL)
"""

UNSENT_IS_NEVER_CALLED_SENT = """
SELECT d.id, d.status FROM delivery d
 WHERE d.status IN ('SENT', 'DELIVERED', 'OPENED') AND d.channel <> 'in_app'
   AND NOT EXISTS (SELECT 1 FROM sandbox_message m WHERE m.delivery_id = d.id)
"""

AS_GOOD_AS_ITS_BEST_DELIVERY = """
SELECT n.id, n.status FROM notification n
 WHERE (n.status IN ('SENT', 'DELIVERED', 'OPENED')) IS DISTINCT FROM EXISTS (
       SELECT 1 FROM delivery d WHERE d.notification_id = n.id AND d.generation = n.generation
          AND d.status IN ('SENT', 'DELIVERED', 'OPENED'))
   AND n.finished_at IS NOT NULL
"""

# Within one generation a status is reached once at most, and the last one told is the one the row has.
ONE_EVENT_PER_STATUS = """
SELECT n.id, n.status, told.statuses FROM notification n LEFT JOIN LATERAL (
         SELECT array_agg(e.status ORDER BY e.position) AS statuses FROM event e
          WHERE e.notification_id = n.id AND e.status IS NOT NULL) told ON true
 WHERE n.generation = 1
   AND (told.statuses IS NULL OR told.statuses[1] <> 'PENDING' OR told.statuses[cardinality(told.statuses)] <> n.status
        OR cardinality(told.statuses) <> (SELECT count(DISTINCT s) FROM unnest(told.statuses) s))
"""

ONE_EVENT_PER_DELIVERY_STATUS = """
SELECT d.id, d.status, told.statuses FROM delivery d LEFT JOIN LATERAL (
         SELECT array_agg(e.delivery_status ORDER BY e.position) AS statuses FROM event e
          WHERE e.delivery_id = d.id AND e.delivery_status IS NOT NULL) told ON true
 WHERE told.statuses IS NULL
    OR cardinality(told.statuses) <> (SELECT count(DISTINCT s) FROM unnest(told.statuses) s)
    OR (d.status <> 'SENDING' AND told.statuses[cardinality(told.statuses)] <> d.status)
"""

INVARIANTS = {
    "I1 one row per key": ONE_ROW_PER_KEY,
    "I2 every one ends": EVERY_ONE_ENDS,
    "I2 an end is a status": ENDS_WITH_A_STATUS_THAT_IS_AN_END,
    "I2 no attempt is left open": NO_ATTEMPT_IS_LEFT_OPEN,
    "I3 at most one send": AT_MOST_ONE_SEND,
    "I4 written before the call": WRITTEN_BEFORE_THE_CALL,
    "I4 called for": EVERY_MESSAGE_WAS_CALLED_FOR,
    "I5 sent is never called unsent": SENT_IS_NEVER_CALLED_UNSENT,
    "I5 unsent is never called sent": UNSENT_IS_NEVER_CALLED_SENT,
    "I5 as good as its best delivery": AS_GOOD_AS_ITS_BEST_DELIVERY,
    "I12 one event per status": ONE_EVENT_PER_STATUS,
    "I12 one event per delivery status": ONE_EVENT_PER_DELIVERY_STATUS,
}


async def broken(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    """Invariant → the rows that break it; `rows` runs a statement. Empty when all is well."""
    found = {name: await rows(statement) for name, statement in INVARIANTS.items()}
    return {name: offending for name, offending in found.items() if offending}
