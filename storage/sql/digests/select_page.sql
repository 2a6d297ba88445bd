SELECT id, notification_type, recipient_id, item_count, opened_at, closes_at, closed_at, notification_id,
digest_key,
  closes_on_schedule FROM digest
 WHERE tenant = :tenant AND (closed_at IS NULL) = :open
   AND (CAST(:recipient_id AS text) IS NULL OR recipient_id = :recipient_id)
   AND (CAST(:notification_type AS text) IS NULL OR notification_type = :notification_type)
   AND (CAST(:before AS uuid) IS NULL OR id < :before)
 ORDER BY id DESC LIMIT :limit
