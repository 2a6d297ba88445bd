DELETE FROM throttle_window WHERE (tenant, key) IN (
  SELECT tenant, key FROM throttle_window WHERE NOT has_waiters AND ends_at < now() - interval '1 hour'
   ORDER BY ends_at LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING 1
