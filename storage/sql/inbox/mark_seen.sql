UPDATE inbox_message
   SET seen_at = COALESCE(seen_at, now())
 WHERE tenant = :tenant AND id = :id
RETURNING id, recipient_id, notification_id, content, created_at, seen_at, read_at, archived_at
