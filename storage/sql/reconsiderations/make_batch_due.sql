WITH waiting AS (
  SELECT notification_id FROM queue_entry
   WHERE tenant = :tenant AND waits_for = :reason AND state = 'waiting' AND notification_id > :after
   ORDER BY notification_id LIMIT :limit FOR UPDATE
), due AS (
  UPDATE queue_entry q SET state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL
    FROM waiting WHERE q.notification_id = waiting.notification_id RETURNING q.notification_id
)
SELECT count(*), (SELECT notification_id FROM waiting ORDER BY notification_id DESC LIMIT 1) AS last,
       max(pg_notify(:channel, :due)::text) FROM due
