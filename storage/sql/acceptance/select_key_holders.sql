-- A send to several recipients stores its key in `multi_send` and in one of its notifications, with the same hash.
SELECT id, idempotency_key, idempotency_hash, notification_type, recipient_id, priority, created_at, send_at,
       expires_at, created_at < now() - make_interval(secs => :window) AS lapsed
  FROM notification WHERE tenant = :tenant AND holds_idempotency_key AND idempotency_key = ANY(:keys)
 UNION ALL
SELECT id, idempotency_key, idempotency_hash, NULL, NULL, NULL, created_at, NULL, expires_at, false
  FROM multi_send WHERE tenant = :tenant AND idempotency_key = ANY(:kept_keys) AND expires_at > now()
