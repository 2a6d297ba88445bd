WITH entry AS (
  SELECT q.notification_id FROM queue_entry q
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS x(id, generation)
      ON q.notification_id = x.id AND q.generation = x.generation
   ORDER BY q.notification_id FOR UPDATE OF q
), ended AS (
  DELETE FROM queue_entry q USING entry WHERE q.notification_id = entry.notification_id AND q.state = 'canceled'
)
UPDATE queue_entry q SET cancel_due = false FROM entry WHERE q.notification_id = entry.notification_id
       AND q.state <> 'canceled'
