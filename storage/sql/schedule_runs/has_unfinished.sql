SELECT EXISTS (SELECT 1 FROM notification WHERE schedule_id = :id AND finished_at IS NULL AND digest_key IS NULL)
    OR EXISTS (SELECT 1 FROM schedule_run WHERE schedule_id = :id AND finished_at IS NULL)
