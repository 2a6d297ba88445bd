SELECT s.notification_type, s.spec, s.paused_at, s.deleted_at, p.after, p.planned_count, p.since, p.replans_all
  FROM schedule_plan p JOIN schedule s ON s.id = p.schedule_id WHERE s.id = :id
