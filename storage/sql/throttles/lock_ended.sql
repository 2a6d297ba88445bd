SELECT tenant, key FROM throttle_window
 WHERE has_waiters AND ends_at <= now() ORDER BY ends_at LIMIT :limit FOR UPDATE SKIP LOCKED
