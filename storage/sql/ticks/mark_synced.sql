INSERT INTO tick AS t (tenant, notification_type, interval_minutes)
VALUES (CAST(:tenant AS uuid), CAST(:type AS text), 0)
ON CONFLICT (tenant, notification_type) DO UPDATE SET (synced_at, sync_attempted_at) = (
  SELECT now(), t.sync_attempted_at
   WHERE t.interval_minutes = CAST(:interval_minutes AS int) AND t.schedules = CAST(:schedules AS jsonb)
     AND t.sync_attempted_at = :sync_attempted_at)
