SELECT s.id, s.tenant, s.key FROM schedule_plan p JOIN schedule s ON s.id = p.schedule_id ORDER BY p.last_batch_at
       LIMIT 1
