INSERT INTO throttle_window AS w (tenant, key, starts_at, ends_at, max_slots, per_seconds, used_slots, has_waiters)
SELECT :tenant, key, clock_timestamp(), clock_timestamp(), max_slots, per_seconds, 0, false
  FROM unnest(CAST(:keys AS text[]), CAST(:max_slots AS int[]), CAST(:per_seconds AS float8[]))
       AS claimed(key, max_slots, per_seconds)
 ORDER BY key
ON CONFLICT (tenant, key) DO UPDATE SET max_slots = EXCLUDED.max_slots, per_seconds = EXCLUDED.per_seconds
