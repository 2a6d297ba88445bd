SELECT w.key, w.starts_at, w.ends_at, w.used_slots, w.has_waiters, clock_timestamp() AS now,
       EXISTS (SELECT 1 FROM throttle_queue_entry t WHERE t.notification_id = :id AND t.generation = :generation
                  AND t.key = w.key AND t.granted_at IS NOT NULL) AS has_slot,
       (SELECT count(*) FROM (
          SELECT 1 FROM throttle_queue_entry t JOIN notification n ON n.id = t.notification_id
           WHERE t.tenant = :tenant AND t.key = w.key AND t.granted_at IS NULL
             AND (t.priority, t.notification_id) < (:priority, CAST(:id AS uuid))
             AND n.finished_at IS NULL AND n.generation = t.generation
                    LIMIT wanted.max_slots) better) AS waiting_ahead
  FROM throttle_window w
  JOIN unnest(CAST(:keys AS text[]), CAST(:max_slots AS int[])) AS wanted(key, max_slots) USING (key)
 WHERE w.tenant = :tenant ORDER BY w.key
