SELECT id, key, notification_type, spec, paused_at, created_at, updated_at FROM schedule
 WHERE tenant = :tenant AND key = :key AND deleted_at IS NULL
