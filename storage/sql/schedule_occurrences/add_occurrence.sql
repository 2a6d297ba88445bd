INSERT INTO schedule_occurrence (schedule_id, recipient_id, tenant, notification_type, timezone)
VALUES (:id, :recipient_id, :tenant, :type, '')
ON CONFLICT (schedule_id, recipient_id) DO UPDATE SET notification_type = EXCLUDED.notification_type
