SELECT t.schedule_id, t.recipient_id, t.due_at, t.timezone, s.spec ->> 'timezone' AS recipient_timezone, now() AS now
  FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id
 WHERE t.tenant = :tenant AND t.notification_type = :type AND t.due_at <= now() AND t.recipient_id = ''
   AND s.spec ->> 'timezone' <> 'recipient' AND s.paused_at IS NULL AND s.deleted_at IS NULL
 ORDER BY t.due_at, t.schedule_id LIMIT :limit FOR UPDATE OF t
