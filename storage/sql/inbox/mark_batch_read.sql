WITH unread AS (
  SELECT id FROM inbox_message
   WHERE tenant = :tenant AND recipient_id = :recipient_id AND read_at IS NULL AND archived_at IS NULL
     AND (CAST(:at AS timestamptz) IS NULL OR (created_at, id) < (:at, CAST(:id AS uuid)))
   ORDER BY created_at DESC, id DESC LIMIT :limit FOR UPDATE
)
UPDATE inbox_message m SET seen_at = COALESCE(seen_at, now()), read_at = COALESCE(read_at, now()) FROM unread
       WHERE m.tenant = :tenant AND m.id = unread.id
RETURNING m.id, m.notification_id, m.created_at
