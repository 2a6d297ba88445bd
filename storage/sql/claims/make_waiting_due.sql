WITH over AS (
  SELECT own.notification_id FROM generate_series(1, 5) level CROSS JOIN LATERAL (
    SELECT notification_id FROM queue_entry
     WHERE priority = level AND (state = 'claimed' OR (state = 'waiting' AND waits_until IS NOT NULL
            AND NOT COALESCE(waits_for, '') IN ('throttled', 'frequency_capped')))
            AND next_at BETWEEN now() - CAST(:look_back AS interval) AND now()
     ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED) own
   LIMIT :limit
)
UPDATE queue_entry q SET state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL FROM over
       WHERE q.notification_id = over.notification_id
RETURNING pg_notify(:channel, :due)::text
