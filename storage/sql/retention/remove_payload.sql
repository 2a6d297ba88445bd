UPDATE notification SET event_payload = '{}', email_options = NULL, content_removed_at = now(), holds_idempotency_key = false
 WHERE id = ANY(:ids) AND finished_at IS NOT NULL RETURNING id
