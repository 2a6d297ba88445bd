WITH due AS (
  SELECT notification_id FROM queue_entry WHERE (state = 'started' OR (state = 'waiting' AND (waits_until IS NULL
         OR COALESCE(waits_for, '') IN ('throttled', 'frequency_capped')))) AND next_at < now()
   ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE queue_entry q
   SET next_at = now() + least(greatest(now() - q.started_at, interval '1 minute'), interval '1 hour')
  FROM due WHERE q.notification_id = due.notification_id RETURNING q.notification_id, q.tenant, q.generation
