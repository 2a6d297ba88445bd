-- A callback often quotes the address that it concerns, and is stored before it is matched.
WITH own_notifications AS (
  SELECT id FROM notification
   WHERE tenant = :tenant AND recipient_id = :replacement_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR created_at < :erased_at)
), deleted AS (
  UPDATE receipt SET raw = '{}' FROM attempt a
   WHERE a.tenant = :tenant AND a.notification_id IN (SELECT id FROM own_notifications) AND receipt.raw <> '{}'
     AND (receipt.attempt_id = a.id
          OR (receipt.provider = a.provider AND receipt.provider_message_id = a.provider_message_id))
  RETURNING receipt.id
)
SELECT count(DISTINCT deleted) FROM deleted
