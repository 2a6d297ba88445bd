SELECT id, notification_type, spec, paused_at FROM schedule
 WHERE tenant = :tenant AND deleted_at IS NULL AND spec ->> 'topic' = :topic AND spec ->> 'timezone' = :own
