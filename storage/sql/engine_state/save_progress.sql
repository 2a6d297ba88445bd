UPDATE engine_state SET recovery_priority = :priority, recovery_after = :after,
       recovery_done = recovery_done + :count,
       recovered_at = CASE WHEN :is_last THEN clock_timestamp() END
 WHERE id = 1
RETURNING recovery_done, recovery_total, pg_notify(:channel, '')::text
