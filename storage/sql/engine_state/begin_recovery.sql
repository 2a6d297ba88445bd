UPDATE engine_state SET recovery_since = clock_timestamp(), recovery_done = 0, recovery_priority = 1,
       recovery_after = NULL, recovered_at = NULL,
       recovery_total = (SELECT count(*) FROM queue_entry WHERE started_at IS NOT NULL
        AND state NOT IN ('collecting', 'canceled'))
 WHERE id = 1 RETURNING recovery_total
