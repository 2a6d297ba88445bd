SELECT id, COALESCE(finished_at < :ended_before, false) AS old FROM notification
 WHERE tenant = :tenant AND id > :after AND id < :before ORDER BY id LIMIT :limit
