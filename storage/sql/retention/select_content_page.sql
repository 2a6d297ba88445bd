SELECT id, COALESCE(finished_at < :ended_before AND content_removed_at IS NULL, false) AS old FROM notification
 WHERE tenant = :tenant AND id > :after AND id < :before ORDER BY id LIMIT :limit
