WITH RECURSIVE free_slots AS MATERIALIZED (
  SELECT GREATEST(0, (
SELECT CASE WHEN min(queued_at) < now() - interval '30 seconds' THEN CAST(:max_queued_if_stale AS int)
       ELSE CAST(:max_queued AS int) END
       - count(*) FROM (SELECT queued_at FROM queue_entry WHERE queued_provider = :provider LIMIT CAST(:max_queued AS int)) queued
)) AS free
), tenants AS (
  (SELECT priority, tenant FROM queue_entry WHERE state = 'waiting' AND awaited_provider IS NOT NULL
         AND awaited_provider = :provider AND (SELECT free FROM free_slots) > 0
    ORDER BY priority, tenant LIMIT 1)
   UNION ALL
  SELECT later.* FROM tenants CROSS JOIN LATERAL (
    SELECT priority, tenant FROM queue_entry
     WHERE state = 'waiting' AND awaited_provider IS NOT NULL AND awaited_provider = :provider AND (priority,
            tenant) > (tenants.priority, tenants.tenant) ORDER BY priority, tenant
     LIMIT 1) later
), tenant_shares AS MATERIALIZED (
  SELECT priority, tenant, count(*) OVER (PARTITION BY priority) AS tenant_count FROM tenants
), tenant_rows AS (
  SELECT own.notification_id FROM tenant_shares CROSS JOIN LATERAL (
    SELECT notification_id, row_number() OVER () AS turn FROM (
      SELECT notification_id FROM queue_entry q
       WHERE state = 'waiting' AND awaited_provider IS NOT NULL AND awaited_provider = :provider
              AND q.priority = tenant_shares.priority AND q.tenant = tenant_shares.tenant
       ORDER BY notification_id LIMIT (SELECT free
              FROM free_slots) / tenant_count + 1 FOR UPDATE SKIP LOCKED) mine) own
   ORDER BY tenant_shares.priority, own.turn, random() LIMIT (SELECT free FROM free_slots)
), due AS (
  UPDATE queue_entry q SET state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL
         FROM tenant_rows WHERE q.notification_id = tenant_rows.notification_id RETURNING 1
)
SELECT count(*), max(pg_notify(:channel, :due)::text) FROM due
