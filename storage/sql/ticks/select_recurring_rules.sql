SELECT DISTINCT s.spec ->> 'cron' FROM schedule s
 WHERE s.tenant = :tenant AND s.notification_type = :type AND s.deleted_at IS NULL AND s.paused_at IS NULL
   AND EXISTS (SELECT 1 FROM schedule_occurrence t WHERE t.schedule_id = s.id AND t.due_at IS NOT NULL)
