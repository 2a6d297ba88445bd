-- The raw receipt is kept as long as its recipient exists.
UPDATE receipt SET applied_at = now(), next_attempt_at = NULL, raw = CASE WHEN CAST(:attempt_id AS uuid) IS NULL
       OR EXISTS (
         SELECT 1 FROM attempt a JOIN notification n ON n.id = a.notification_id
          WHERE a.id = CAST(:attempt_id AS uuid) AND EXISTS (
            SELECT 1 FROM recipient r WHERE r.tenant = n.tenant AND r.recipient_id = n.recipient_id
               AND r.created_at < n.created_at + interval '10 seconds')) THEN raw ELSE '{}' END
 WHERE id = ANY(:ids)
