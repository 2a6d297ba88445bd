WITH entry AS (
  SELECT q.notification_id FROM queue_entry q
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS x(id, generation)
      ON q.notification_id = x.id AND q.generation = x.generation
   ORDER BY q.notification_id FOR UPDATE OF q
) UPDATE queue_entry q SET state = 'due', next_at = now(), started_at = NULL, claimed_by = NULL,
       waits_until = NULL FROM entry WHERE q.notification_id = entry.notification_id AND started_at IS NOT NULL
       AND state NOT IN ('collecting', 'canceled')
