-- Waiting messages are still posted, and may be replayed.
WITH own_notifications AS (
  SELECT id FROM notification
   WHERE tenant = :tenant AND recipient_id = :replacement_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR created_at < :erased_at)
), deleted AS (
  UPDATE event_message m SET body = jsonb_set(m.body::jsonb, '{data}', m.body::jsonb->'data'
           || jsonb_build_object('recipient_id', CAST(:replacement_id AS text), 'tags', '[]'::jsonb))::text
    FROM own_notifications WHERE m.notification_id = own_notifications.id AND EXISTS (SELECT 1 FROM event_endpoint
    WHERE tenant = :tenant)
     AND (m.body::jsonb->'data'->>'recipient_id', m.body::jsonb->'data'->'tags') <> (:replacement_id, '[]'::jsonb)
  RETURNING m.id
)
SELECT count(DISTINCT deleted) FROM deleted
