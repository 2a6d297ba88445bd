WITH lost AS (
  SELECT notification_id FROM queue_entry
   WHERE notification_id > :after AND priority = :priority AND started_at IS NOT NULL
          AND state NOT IN ('collecting', 'canceled') AND started_at < :since
   ORDER BY notification_id LIMIT :limit FOR UPDATE
)
UPDATE queue_entry q SET state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL, started_at = NULL
  FROM lost WHERE q.notification_id = lost.notification_id RETURNING q.notification_id
