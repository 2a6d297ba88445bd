SELECT id, recipient_id, notification_id, content, created_at, seen_at, read_at, archived_at FROM inbox_message
 WHERE tenant = :tenant AND recipient_id = :recipient_id AND (archived_at IS NOT NULL) = :archived
   AND (CAST(:at AS timestamptz) IS NULL OR (created_at, id) < (:at, CAST(:id AS uuid)))
 ORDER BY created_at DESC, id DESC LIMIT :limit
