WITH noted AS (
  INSERT INTO reconsideration (tenant, reason, after, last_batch_at)
  SELECT :tenant, reason, '00000000-0000-0000-0000-000000000000', now() FROM unnest(CAST(:reasons AS text[])) AS reason
  ON CONFLICT (tenant, reason) DO UPDATE SET after = EXCLUDED.after, recipient_id = '', failures = 0 RETURNING 1
)
SELECT pg_notify(:channel, :due) FROM noted LIMIT 1
