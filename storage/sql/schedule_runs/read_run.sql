SELECT run.id, run.tenant, run.kind, run.due_at, COALESCE(run.after, '') AS after, s.id AS schedule_id,
       s.notification_type, s.spec, s.deleted_at
  FROM schedule_run run JOIN schedule s ON s.id = run.schedule_id
 WHERE run.id = :id
