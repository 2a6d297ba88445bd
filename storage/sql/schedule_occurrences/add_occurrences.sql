INSERT INTO schedule_occurrence (schedule_id, recipient_id, tenant, notification_type, timezone)
SELECT CAST(:id AS uuid), p.recipient_id, CAST(:tenant AS uuid), CAST(:type AS text), '' FROM (
  SELECT '' AS recipient_id WHERE :is_shared AND '' = ANY(:batch)
   UNION ALL
  SELECT recipient_id FROM recipient
   WHERE tenant = :tenant AND recipient_id = ANY(:recipient_ids) AND recipient_id = ANY(:batch)
   UNION ALL
  SELECT recipient_id FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic
         AND recipient_id = ANY(:batch)) p
ON CONFLICT (schedule_id, recipient_id) DO UPDATE SET notification_type = EXCLUDED.notification_type
