WITH own_notifications AS (
  SELECT id FROM notification
   WHERE tenant = :tenant AND recipient_id = :replacement_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR created_at < :erased_at)
)
SELECT DISTINCT attachment_id FROM attachment_use WHERE notification_id IN (SELECT id FROM own_notifications)
