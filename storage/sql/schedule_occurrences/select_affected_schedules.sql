SELECT DISTINCT s.id, s.notification_type, s.spec
  FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id JOIN tenant n ON n.id = t.tenant
  LEFT JOIN recipient r ON r.tenant = t.tenant AND r.recipient_id = t.recipient_id
 WHERE t.tenant = :tenant AND t.recipient_id = ANY(:recipient_ids) AND (t.due_at > now() OR t.due_at IS NULL)
   AND t.timezone <> CASE WHEN t.recipient_id = '' THEN s.spec ->> 'timezone'
                          ELSE COALESCE(r.timezone, n.timezone) END
   AND s.paused_at IS NULL AND s.deleted_at IS NULL
