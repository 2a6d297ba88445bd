INSERT INTO schedule (id, tenant, key, notification_type, spec, created_at, updated_at)
VALUES (:id, :tenant, :key, :type, CAST(:spec AS jsonb), now(), now())
 RETURNING id, key, notification_type, spec, paused_at, created_at, updated_at
