UPDATE schedule SET paused_at = CASE WHEN :paused THEN COALESCE(paused_at, now()) END, updated_at = now()
 WHERE tenant = :tenant AND key = :key AND deleted_at IS NULL
  RETURNING id, key, notification_type, spec, paused_at, created_at, updated_at
