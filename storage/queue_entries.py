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


# Of rows that wait for something that is over.
SET_DUE = "state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL"
