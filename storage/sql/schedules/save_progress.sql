WITH moved AS (
  INSERT INTO schedule_plan (schedule_id, after, planned_count, since, replans_all, last_batch_at)
  VALUES (:id, :after, :planned_count, :since, :replans_all, clock_timestamp())
  ON CONFLICT (schedule_id) DO UPDATE SET after = EXCLUDED.after, planned_count = EXCLUDED.planned_count,
         since = EXCLUDED.since, replans_all = EXCLUDED.replans_all, last_batch_at = EXCLUDED.last_batch_at
  RETURNING 1
)
SELECT pg_notify(:channel, :due) FROM moved
