WITH own_notifications AS (
  SELECT id FROM notification
   WHERE tenant = :tenant AND recipient_id = :replacement_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR created_at < :erased_at)
), deleted AS (
  UPDATE attempt SET provider_response = NULL, address_hash = NULL
   WHERE tenant = :tenant AND notification_id IN (SELECT id FROM own_notifications)
     AND (provider_response IS NOT NULL OR address_hash IS NOT NULL) RETURNING id
)
SELECT count(DISTINCT deleted) FROM deleted
