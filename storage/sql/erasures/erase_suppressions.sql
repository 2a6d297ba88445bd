-- The hashes stay in force: an erasure must not lift a suppression.
WITH own_notifications AS (
  SELECT id FROM notification
   WHERE tenant = :tenant AND recipient_id = :replacement_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR created_at < :erased_at)
), deleted AS (
  UPDATE suppression SET address = NULL
   WHERE tenant = :tenant AND address IS NOT NULL AND address_hash IN (
         SELECT address_hash FROM attempt WHERE tenant = :tenant AND notification_id IN (SELECT id
                FROM own_notifications)
         UNION ALL
         SELECT unnest(former_address_hashes || ARRAY(SELECT value FROM jsonb_each_text(address_hashes)))
                FROM recipient
          WHERE tenant = :tenant AND recipient_id = :recipient_id AND CAST(:erased_at AS timestamptz) IS NULL)
  RETURNING id
)
SELECT count(DISTINCT deleted) FROM deleted
