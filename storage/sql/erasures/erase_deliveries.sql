WITH own_notifications AS (
  SELECT id FROM notification
   WHERE tenant = :tenant AND recipient_id = :replacement_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR created_at < :erased_at)
), deleted AS (
  UPDATE delivery SET rendered_content = NULL, provider_response = NULL
   WHERE tenant = :tenant AND notification_id IN (SELECT id FROM own_notifications)
     AND (rendered_content IS NOT NULL OR provider_response IS NOT NULL) RETURNING id
)
SELECT count(DISTINCT deleted) FROM deleted
