INSERT INTO multi_send AS kept (id, tenant, idempotency_key, idempotency_hash, results, created_at, expires_at)
SELECT :id, :tenant, :key, :hash, CAST(:results AS jsonb), now(), now() + make_interval(secs => :window)
 WHERE NOT EXISTS (
   SELECT 1 FROM multi_send WHERE tenant = :tenant AND idempotency_key = :hashed_key AND expires_at > now())
ON CONFLICT (tenant, idempotency_key) DO UPDATE SET idempotency_hash = EXCLUDED.idempotency_hash,
       results = EXCLUDED.results, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
 WHERE kept.expires_at <= now()
RETURNING id
