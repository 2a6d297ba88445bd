WITH entry AS (
  SELECT q.notification_id FROM queue_entry q
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS x(id, generation)
      ON q.notification_id = x.id AND q.generation = x.generation
   WHERE q.state = 'claimed' AND q.claimed_by = :process ORDER BY q.notification_id FOR UPDATE OF q
)
UPDATE queue_entry q SET state = 'waiting', claimed_by = NULL, waits_until = now() + make_interval(secs => :seconds),
       next_at = now() + make_interval(secs => :seconds)
  FROM entry WHERE q.notification_id = entry.notification_id
