-- Occurrences after the cursor of a plan are those from before the change of the schedule.
SELECT t.schedule_id, t.recipient_id, t.due_at, t.timezone, COALESCE(r.timezone, n.timezone) AS recipient_timezone,
       now() AS now
  FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id JOIN tenant n ON n.id = t.tenant
  JOIN recipient r ON r.tenant = t.tenant AND r.recipient_id = t.recipient_id
 WHERE t.tenant = :tenant AND t.notification_type = :type AND t.due_at <= now() AND t.recipient_id <> ''
   AND s.spec ->> 'timezone' = 'recipient' AND s.paused_at IS NULL AND s.deleted_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM schedule_plan p WHERE p.schedule_id = t.schedule_id AND p.after < t.recipient_id)
 ORDER BY t.due_at, t.schedule_id, t.recipient_id LIMIT :limit FOR KEY SHARE OF r SKIP LOCKED FOR UPDATE OF t SKIP LOCKED
