WITH wanted AS (
  INSERT INTO tick AS t (tenant, notification_type, interval_minutes, schedules)
  SELECT CAST(:tenant AS uuid), CAST(:type AS text), CAST(:interval_minutes AS int), CAST(:schedules AS jsonb)
   WHERE :interval_minutes > 0 OR :schedules <> '{}'
      OR EXISTS (SELECT 1 FROM tick WHERE tenant = :tenant AND notification_type = CAST(:type AS text))
  ON CONFLICT (tenant, notification_type) DO UPDATE SET interval_minutes = EXCLUDED.interval_minutes,
  schedules = EXCLUDED.schedules,
         synced_at = NULL, sync_attempted_at = NULL
   WHERE (t.interval_minutes, t.schedules) <> (EXCLUDED.interval_minutes, EXCLUDED.schedules) RETURNING 1
)
SELECT pg_notify(:channel, :due) FROM wanted
