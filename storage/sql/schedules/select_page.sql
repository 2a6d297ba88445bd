SELECT id, key, notification_type, spec, paused_at, created_at, updated_at FROM schedule
 WHERE tenant = :tenant AND deleted_at IS NULL AND key > :after ORDER BY key LIMIT :limit
