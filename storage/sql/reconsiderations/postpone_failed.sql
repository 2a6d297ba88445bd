UPDATE reconsideration SET failures = failures + 1, last_batch_at = clock_timestamp()
 WHERE (tenant, reason) = (
  SELECT tenant, reason FROM reconsideration
   WHERE (failures = 0 OR last_batch_at < now() - least(power(2, least(failures, 10)), 600) * interval '1 second')
   ORDER BY last_batch_at, tenant, reason LIMIT 1 FOR UPDATE SKIP LOCKED)
