SELECT run.id FROM schedule_run run JOIN schedule s ON s.id = run.schedule_id
 WHERE run.finished_at IS NULL AND run.tenant = :tenant AND s.notification_type = :type
 ORDER BY run.id LIMIT 1 FOR UPDATE OF run SKIP LOCKED
