"""Define the invariants that must hold after every fault, in SQL: each statement returns the rows that break one.

`called` and `message` are the vendor logs: the sandbox's tables, written in transactions of their own, and the log of
the fake vendors (`vendor/vendor_log.py`). All other tables are Tocsin's.

A chat knows no attempt. Its URL belongs to one recipient, who gets one notification. A call or message there is that of
the last attempt that had begun: the attempts of an endpoint follow one another.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Rows = Callable[..., Awaitable[list[dict[str, Any]]]]

# An external vendor knows only the attempt id, or the recipient; Tocsin's rows have the rest.
VENDOR_LOG = """
WITH entry AS MATERIALIZED (
  SELECT row_number() OVER () AS number, e.*, to_timestamp(e.seconds) AS at
    FROM (SELECT kind, provider, reference, message_id, "to", at AS seconds FROM jsonb_to_recordset($1::jsonb)
            AS e(kind text, provider text, reference text, message_id text, "to" text, at float8)) e
), named AS (
  SELECT id::text AS name, id, notification_id, delivery_id, endpoint_id, NULL::timestamptz AS began FROM attempt
   WHERE provider <> 'chat'
   UNION ALL
  SELECT n.recipient_id, a.id, a.notification_id, a.delivery_id, a.endpoint_id, a.started_at FROM attempt a
    JOIN notification n ON n.id = a.notification_id WHERE a.provider = 'chat'
), outside AS (
  SELECT DISTINCT ON (e.number) e.kind, e.provider, e.reference, a.id AS attempt_id, e.message_id, e."to", e.at,
         a.notification_id, a.delivery_id, a.endpoint_id
    FROM entry e LEFT JOIN named a ON a.name = e.reference AND (a.began IS NULL OR a.began <= e.at)
   ORDER BY e.number, a.began DESC
), called AS (
  SELECT attempt_id, at, 'sandbox' AS reference FROM sandbox_call
   UNION ALL
  SELECT attempt_id, at, reference FROM outside WHERE kind = 'call'
), message AS (
  SELECT id::text AS id, notification_id, delivery_id, attempt_id, endpoint_id, accepted_at FROM sandbox_message
   UNION ALL
  SELECT message_id, notification_id, delivery_id, attempt_id, endpoint_id, at FROM outside WHERE kind = 'kept'
)
"""

ONE_ROW_PER_KEY = """
SELECT tenant, idempotency_key, count(*) FROM notification
 WHERE idempotency_key IS NOT NULL AND holds_idempotency_key GROUP BY 1, 2 HAVING count(*) <> 1
"""

EVERY_NOTIFICATION_ENDS = "SELECT id, status FROM notification WHERE finished_at IS NULL"

ENDS_WITH_A_FINAL_STATUS = "SELECT id FROM notification WHERE finished_at IS NOT NULL AND status = 'PENDING'"

# Members of a digest window have no entry; a canceled one keeps its entry until its workflow is signaled.
OPEN_NOTIFICATIONS_HAVE_QUEUE_ENTRIES = """
SELECT q.notification_id AS id, q.state FROM queue_entry q
  LEFT JOIN notification n ON n.id = q.notification_id AND n.generation = q.generation AND n.finished_at IS NULL
 WHERE n.id IS NULL AND q.state <> 'canceled'
UNION ALL
SELECT n.id, 'no entry' FROM notification n LEFT JOIN queue_entry q ON q.notification_id = n.id
   AND q.generation = n.generation
 WHERE n.finished_at IS NULL AND q.notification_id IS NULL AND (n.digest_key IS NULL OR n.digest_id IS NULL)
"""

NO_ATTEMPT_IS_LEFT_OPEN = """
SELECT a.id, a.state FROM attempt a JOIN notification n ON n.id = a.notification_id
 WHERE n.finished_at IS NOT NULL AND n.status <> 'IN_DOUBT' AND a.state IN ('planned', 'submitting')
   AND a.evidence IS NULL
"""

# Sends with an unknown outcome may be repeated; no others may, and no attempt sends twice.
AT_MOST_ONE_SEND = """
SELECT m.delivery_id, m.endpoint_id, count(*) FROM message m LEFT JOIN attempt a ON a.id = m.attempt_id
 WHERE m.delivery_id IS NOT NULL GROUP BY 1, 2
HAVING count(*) FILTER (WHERE a.state IS DISTINCT FROM 'unknown') > 1 OR count(*) > count(DISTINCT m.attempt_id)
    OR count(*) > 1 + (SELECT count(*) FROM attempt u WHERE u.delivery_id = m.delivery_id
                          AND u.endpoint_id = m.endpoint_id AND u.state = 'unknown')
"""

WRITTEN_BEFORE_THE_CALL = """
SELECT c.attempt_id, c.reference, c.at, a.started_at FROM called c LEFT JOIN attempt a ON a.id = c.attempt_id
 WHERE a.id IS NULL OR a.started_at > c.at
"""

EVERY_MESSAGE_HAS_A_CALL = """
SELECT m.id FROM message m
 WHERE NOT EXISTS (SELECT 1 FROM called c WHERE c.attempt_id = m.attempt_id AND c.at <= m.accepted_at)
"""

SENT_IS_NEVER_CALLED_UNSENT = """
SELECT d.id, d.status FROM delivery d JOIN notification n ON n.id = d.notification_id AND n.finished_at IS NOT NULL
  JOIN message m ON m.delivery_id = d.id
 WHERE d.status IN ('PENDING', 'SENDING', 'FAILED', 'SKIPPED', 'CANCELED', 'EXPIRED')
   AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.delivery_id = d.id AND a.bounced_at IS NOT NULL)
"""

UNSENT_IS_NEVER_CALLED_SENT = """
SELECT d.id, d.status FROM delivery d
 WHERE d.status IN ('SENT', 'DELIVERED', 'OPENED') AND d.channel <> 'in_app'
   AND NOT EXISTS (SELECT 1 FROM message m WHERE m.delivery_id = d.id)
"""

STATUS_OF_BEST_DELIVERY = """
SELECT n.id, n.status FROM notification n
 WHERE (n.status IN ('SENT', 'DELIVERED', 'OPENED')) IS DISTINCT FROM EXISTS (
       SELECT 1 FROM delivery d WHERE d.notification_id = n.id
          AND d.status IN ('SENT', 'DELIVERED', 'OPENED'))
   AND n.finished_at IS NOT NULL
"""

# Within one generation a status is reached at most once, and the last event has the row's status.
ONE_EVENT_PER_STATUS = """
SELECT n.id, n.status, history.statuses FROM notification n LEFT JOIN LATERAL (
         SELECT array_agg(e.status ORDER BY e.position) AS statuses FROM event e
          WHERE e.notification_id = n.id AND e.status IS NOT NULL) history ON true
 WHERE n.generation = 1
   AND (history.statuses IS NULL OR history.statuses[1] <> 'PENDING'
        OR history.statuses[cardinality(history.statuses)] <> n.status
        OR cardinality(history.statuses) <> (SELECT count(DISTINCT s) FROM unnest(history.statuses) s))
"""

# Events have no index by delivery: they are grouped once.
ONE_EVENT_PER_DELIVERY_STATUS = """
SELECT d.id, d.status, history.statuses FROM delivery d LEFT JOIN (
         SELECT e.delivery_id, array_agg(e.delivery_status ORDER BY e.position) AS statuses FROM event e
          WHERE e.delivery_status IS NOT NULL GROUP BY e.delivery_id) history ON history.delivery_id = d.id
 WHERE history.statuses IS NULL
    OR cardinality(history.statuses) <> (SELECT count(DISTINCT s) FROM unnest(history.statuses) s)
    OR (d.status <> 'SENDING' AND history.statuses[cardinality(history.statuses)] <> d.status)
"""

# A receipt with a matching attempt is applied: stronger evidence wins, and none is lost.
RECEIPTS_ARE_APPLIED = """
SELECT r.id, r.kind, r.applied_at, a.evidence, d.status FROM receipt r
  JOIN attempt a ON a.provider = r.provider
       AND CASE WHEN r.attempt_id IS NOT NULL THEN a.id = r.attempt_id
                ELSE a.provider_message_id = r.provider_message_id END
  JOIN delivery d ON d.id = a.delivery_id JOIN notification n ON n.id = d.notification_id
 WHERE (r.applied_at IS NULL
    OR (r.kind = 'delivered' AND COALESCE(a.evidence, '') NOT IN ('delivered', 'opened', 'clicked', 'bounced'))
    OR (r.kind = 'opened' AND COALESCE(a.evidence, '') NOT IN ('opened', 'clicked'))
    OR (r.kind = 'opened' AND d.status <> 'OPENED'))
"""

NO_ROW_LINKS_TWO_TENANTS = """
SELECT n.id, 'delivery' AS what FROM delivery x JOIN notification n ON n.id = x.notification_id
 WHERE x.tenant <> n.tenant
 UNION ALL
SELECT n.id, 'attempt' FROM attempt x JOIN notification n ON n.id = x.notification_id WHERE x.tenant <> n.tenant
 UNION ALL
SELECT n.id, 'event' FROM event x JOIN notification n ON n.id = x.notification_id WHERE x.tenant <> n.tenant
 UNION ALL
SELECT n.id, 'inbox message' FROM inbox_message x JOIN notification n ON n.id = x.notification_id
 WHERE x.tenant <> n.tenant OR x.recipient_id <> n.recipient_id
 UNION ALL
SELECT n.id, 'sandbox message' FROM sandbox_message x JOIN notification n ON n.id = x.notification_id
 WHERE x.tenant <> n.tenant OR x.recipient_id <> n.recipient_id
 UNION ALL
SELECT n.id, 'type' FROM notification_type x JOIN notification n ON n.type_id = x.id WHERE x.tenant <> n.tenant
 UNION ALL
SELECT n.id, 'template' FROM template x JOIN delivery d ON d.template_id = x.id
  JOIN notification n ON n.id = d.notification_id WHERE x.tenant <> n.tenant
"""

# The address at an external vendor is one of the notification's recipient. Tokens and URLs contain the recipient's id.
EVERY_MESSAGE_REACHED_ITS_OWN_RECIPIENT = """
SELECT n.id, o.provider FROM outside o JOIN notification n ON n.id = o.notification_id
  JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id
 WHERE o.kind = 'kept' AND o."to" NOT IN (COALESCE(r.contact->>'email', ''), COALESCE(r.contact->>'phone', ''))
   AND position(r.recipient_id || '-' IN o."to") = 0
"""

INVARIANTS = {
    "I1 one row per key": ONE_ROW_PER_KEY,
    "I2 every notification ends": EVERY_NOTIFICATION_ENDS,
    "I2 a finished notification has a final status": ENDS_WITH_A_FINAL_STATUS,
    "I2 every open notification has a queue entry": OPEN_NOTIFICATIONS_HAVE_QUEUE_ENTRIES,
    "I2 no attempt is left open": NO_ATTEMPT_IS_LEFT_OPEN,
    "I3 at most one send": AT_MOST_ONE_SEND,
    "I4 the attempt row precedes the call": WRITTEN_BEFORE_THE_CALL,
    "I4 every message has a call": EVERY_MESSAGE_HAS_A_CALL,
    "I5 no sent delivery is recorded as unsent": SENT_IS_NEVER_CALLED_UNSENT,
    "I5 no unsent delivery is recorded as sent": UNSENT_IS_NEVER_CALLED_SENT,
    "I5 the status is that of the best delivery": STATUS_OF_BEST_DELIVERY,
    "I6 receipts are applied": RECEIPTS_ARE_APPLIED,
    "I7 no row links two tenants": NO_ROW_LINKS_TWO_TENANTS,
    "I7 every message reached its own recipient": EVERY_MESSAGE_REACHED_ITS_OWN_RECIPIENT,
    "I12 one event per status": ONE_EVENT_PER_STATUS,
    "I12 one event per delivery status": ONE_EVENT_PER_DELIVERY_STATUS,
}


# Figures for the last line of a run: all sends, and repeated ones.
FIGURES = """
SELECT (SELECT count(*) FROM message WHERE notification_id IS NOT NULL) AS sends,
       (SELECT count(*) FROM attempt WHERE state = 'unknown') AS unknown,
       (SELECT COALESCE(sum(more), 0) FROM (SELECT count(*) - 1 AS more FROM message WHERE delivery_id IS NOT NULL
         GROUP BY delivery_id, endpoint_id) m) AS repeated,
       (SELECT count(*) FROM notification WHERE status = 'IN_DOUBT') AS in_doubt
"""


async def broken(rows: Rows, outside: Sequence[dict[str, Any]] = ()) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that break each invariant; empty if all hold.

    `rows` runs a statement with its values. `outside` is the log of the external vendors.
    """
    stack_database = json.dumps(list(outside))
    found = {name: await rows(VENDOR_LOG + statement, stack_database) for name, statement in INVARIANTS.items()}
    return {name: offending for name, offending in found.items() if offending}


async def figures(rows: Rows, outside: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Return the sums over the whole run so far."""
    [row] = await rows(VENDOR_LOG + FIGURES, json.dumps(list(outside)))
    return {name: int(value) for name, value in row.items()}
