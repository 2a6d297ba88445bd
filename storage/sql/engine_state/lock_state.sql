SELECT namespace_id, seen_at, other_id, other_since, other_seen_at, confirmed_id, recovery_since, recovery_total,
       recovery_done, recovered_at, clock_timestamp() AS at
  FROM engine_state WHERE id = 1 FOR UPDATE
