SELECT id FROM (SELECT id FROM schedule_run WHERE finished_at IS NULL AND tenant = :tenant AND id > :after
 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) behind
 UNION ALL
SELECT id FROM (SELECT id FROM schedule_run WHERE finished_at IS NULL AND tenant = :tenant AND id <= :after
 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) first
 LIMIT 1
