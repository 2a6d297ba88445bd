UPDATE schedule SET notification_type = :type, spec = CAST(:spec AS jsonb), updated_at = now() WHERE id = :id
RETURNING id, key, notification_type, spec, paused_at, created_at, updated_at
