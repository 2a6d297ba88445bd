"""Parts of statements that keep `queue_entry` in step with `notification`.

Locks are taken in this order: the notification, the preferences of its recipient, its queue entry. Statements that
lock several entries lock them in the order of their ids.
"""

CLEAR_WAIT = "waits_for = NULL, awaited_provider = NULL, waits_until = NULL, recipient_id = NULL"

# Of a statement that has `fenced`: rows of `notification` after the write, with the flags `evidence_due` (its workflow
# waits for something that has come) and `cancel_due` (it has just been canceled). An entry ends with its notification,
# unless a cancel is to be signaled: to a workflow that was started, or one whose start may be under way. The entries
# are locked first: a claim at the same moment decides between the two.
FOLLOW_NOTIFICATION = f"""entry AS (
  SELECT q.notification_id, q.state, n.finished_at IS NOT NULL AS finished, n.evidence_due,
         q.cancel_due OR n.cancel_due AS cancel_due,
         (q.state = 'claimed' OR q.started_at IS NOT NULL) AND (q.cancel_due OR n.cancel_due) AS kept
    FROM fenced n JOIN queue_entry q ON q.notification_id = n.id AND q.generation = n.generation
   WHERE q.state <> 'canceled' AND (n.finished_at IS NOT NULL OR n.evidence_due OR n.cancel_due)
   ORDER BY q.notification_id FOR UPDATE OF q
), signaled AS (
  UPDATE queue_entry q SET evidence_due = q.evidence_due OR entry.evidence_due,
         evidence_count = q.evidence_count + entry.evidence_due::int, cancel_due = entry.cancel_due
    FROM entry WHERE q.notification_id = entry.notification_id AND NOT entry.finished
), kept AS (
  UPDATE queue_entry q SET state = 'canceled', cancel_due = true, evidence_due = false, {CLEAR_WAIT},
         next_at = CASE WHEN entry.state = 'claimed' THEN q.next_at ELSE now() END
    FROM entry WHERE q.notification_id = entry.notification_id AND entry.finished AND entry.kept
), ended AS (
  DELETE FROM queue_entry q USING entry
   WHERE q.notification_id = entry.notification_id AND entry.finished AND NOT entry.kept
)"""  # noqa: S608 - a constant of our own

# Of generations that may have moved on, locked by their ids.
LOCK_ENTRIES = """entry AS (
  SELECT q.notification_id FROM queue_entry q
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS x(id, generation)
      ON q.notification_id = x.id AND q.generation = x.generation
   ORDER BY q.notification_id FOR UPDATE OF q
)"""
FROM_LOCKED_ENTRIES = "FROM entry WHERE q.notification_id = entry.notification_id"
END_GATE_WAIT = f"state = CASE WHEN q.state = 'waiting' THEN 'started' ELSE q.state END, {CLEAR_WAIT}"

# Written on behalf of its workflow, which exists and needs no slot: it is under way, or it waits until `{until}`, or
# without that until another statement makes it due.
CLEAR_SLOT = "claimed_by = NULL, queued_provider = NULL, queued_at = NULL, started_at = COALESCE(q.started_at, now())"
SET_STARTED = f"state = 'started', {CLEAR_SLOT}, {CLEAR_WAIT}, next_at = now() + interval '1 minute'"
SET_WAITING = f"""
       state = 'waiting', {CLEAR_SLOT}, waits_until = {{until}},
       next_at = COALESCE({{until}}, now() + interval '1 minute')
"""
# When a call is about to be made. A wait of another channel until a moment that is to come goes on.
WAIT_IS_OVER = """(q.claimed_by IS NOT NULL OR q.queued_provider IS NOT NULL OR q.state = 'due'
        OR (q.state = 'waiting' AND COALESCE(q.waits_until, now()) <= now()))"""
# Of rows that wait for something that is over.
SET_DUE = "state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL"
