WITH entry AS (
  SELECT q.notification_id FROM queue_entry q
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS x(id, generation)
      ON q.notification_id = x.id AND q.generation = x.generation
   ORDER BY q.notification_id FOR UPDATE OF q
)
UPDATE queue_entry q SET evidence_due = false
  FROM entry, unnest(CAST(:ids AS uuid[]), CAST(:counts AS int[])) AS x(id, count)
 WHERE q.notification_id = entry.notification_id AND q.notification_id = x.id AND q.evidence_count = x.count
