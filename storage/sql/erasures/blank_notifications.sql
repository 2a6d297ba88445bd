WITH own_notifications AS (
  SELECT id, finished_at IS NULL AND cancel_requested_at IS NULL AS to_cancel
    FROM notification WHERE tenant = :tenant AND recipient_id = :recipient_id AND id > :after AND id <= :until
     AND (CAST(:erased_at AS timestamptz) IS NULL OR (created_at < :erased_at AND
          (event_payload <> '{}' OR email_options IS NOT NULL OR tags <> '{}' OR cancel_key IS NOT NULL OR idempotency_key IS NOT NULL)))
   ORDER BY id FOR UPDATE
), blanked AS (
  UPDATE notification n SET recipient_id = :replacement_id, event_payload = '{}', email_options = NULL, cancel_key = NULL, tags = '{}',
         idempotency_key = NULL, idempotency_hash = NULL, holds_idempotency_key = false,
         revision = n.revision + 1,
         cancel_requested_at = CASE WHEN n.finished_at IS NULL THEN COALESCE(n.cancel_requested_at, now())
                                    ELSE n.cancel_requested_at END
    FROM own_notifications WHERE n.id = own_notifications.id RETURNING n.id, n.finished_at IS NULL AS open,
    own_notifications.to_cancel
)
SELECT count(*) AS notifications, count(*) FILTER (WHERE open) AS canceled,
       COALESCE(array_agg(id) FILTER (WHERE open), '{}') AS ids,
       COALESCE(array_agg(id) FILTER (WHERE to_cancel), '{}') AS to_cancel FROM blanked
