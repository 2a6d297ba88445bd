(SELECT tenant FROM schedule_run WHERE finished_at IS NULL AND tenant > :after ORDER BY tenant LIMIT 1)
 UNION ALL
(SELECT tenant FROM schedule_run WHERE finished_at IS NULL ORDER BY tenant LIMIT 1)
 LIMIT 1
