WITH begun AS (
  SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[]), CAST(:resumes AS boolean[]),
                       CAST(:waits AS timestamptz[])) AS x(id, generation, is_resume, waits_until)
), entry AS (
  SELECT q.notification_id, begun.waits_until FROM queue_entry q
    JOIN begun ON q.notification_id = begun.id AND q.generation = begun.generation
   WHERE ((q.state IN ('claimed', 'canceled') AND q.claimed_by = :process)
      OR (q.state = 'due' AND q.started_at IS NULL))
     AND NOT (begun.is_resume AND q.started_at IS NULL)
   ORDER BY q.notification_id FOR UPDATE OF q
)
UPDATE queue_entry q SET started_at = COALESCE(q.started_at, now()),
       state = CASE WHEN q.state = 'canceled' THEN q.state WHEN entry.waits_until IS NULL THEN 'started'
                    ELSE 'waiting' END,
       waits_until = entry.waits_until,
       next_at = CASE WHEN q.state = 'canceled' THEN now()
                      ELSE COALESCE(entry.waits_until, now() + interval '1 minute') END,
       claimed_by = CASE WHEN q.state <> 'canceled' AND entry.waits_until IS NULL THEN q.claimed_by END
  FROM entry WHERE q.notification_id = entry.notification_id
