SELECT w.key, w.starts_at, w.ends_at, w.used_slots, w.has_waiters, count(waiting.*) AS waiting,
       count(waiting.*) FILTER (WHERE waiting.priority <= :priority) AS waiting_ahead
  FROM throttle_window w LEFT JOIN LATERAL (
       SELECT t.priority FROM throttle_queue_entry t JOIN notification n ON n.id = t.notification_id
        WHERE t.tenant = w.tenant AND t.key = w.key AND t.granted_at IS NULL
          AND n.finished_at IS NULL AND n.generation = t.generation LIMIT 10000) waiting ON true
 WHERE w.tenant = :tenant AND w.key = ANY(:keys)
 GROUP BY w.tenant, w.key
