SELECT id, kind, due_at, ran_at, accepted, skipped_recipients, skip_reason, finished_at FROM schedule_run
 WHERE schedule_id = :id ORDER BY ran_at DESC, due_at DESC LIMIT :limit
