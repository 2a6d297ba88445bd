SELECT key, paused_at IS NOT NULL AS paused FROM schedule
 WHERE tenant = :tenant AND notification_type = :type AND deleted_at IS NULL ORDER BY key LIMIT :limit
