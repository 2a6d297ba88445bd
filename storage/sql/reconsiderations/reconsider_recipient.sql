WITH waiting AS (
  SELECT notification_id FROM queue_entry
   WHERE tenant = :tenant AND waits_for = ANY(:reasons) AND state = 'waiting' AND recipient_id = :recipient_id
   ORDER BY notification_id FOR UPDATE
), due AS (
  UPDATE queue_entry q SET state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL
    FROM waiting WHERE q.notification_id = waiting.notification_id RETURNING q.notification_id
)
SELECT count(*), max(pg_notify(:channel, :due)::text) FROM due
