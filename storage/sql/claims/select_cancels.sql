-- A notification that was canceled while a process started it is signaled when that claim expires.
WITH RECURSIVE backlog AS MATERIALIZED (
  SELECT count(*) > CAST(:limit AS bigint) AS has_backlog FROM (SELECT FROM queue_entry WHERE (cancel_due
         AND (started_at IS NOT NULL OR state = 'canceled') AND (state <> 'canceled' OR next_at <= now()))
         AND true ORDER BY tenant, notification_id LIMIT CAST(:limit AS bigint) + 1) few
), tenants AS (
  (SELECT tenant FROM queue_entry WHERE (cancel_due AND (started_at IS NOT NULL OR state = 'canceled')
         AND (state <> 'canceled' OR next_at <= now())) AND (SELECT has_backlog FROM backlog) ORDER BY tenant LIMIT 1)
   UNION ALL
  SELECT later.tenant FROM tenants CROSS JOIN LATERAL (SELECT tenant FROM queue_entry WHERE (cancel_due
         AND (started_at IS NOT NULL OR state = 'canceled') AND (state <> 'canceled' OR next_at <= now()))
         AND tenant > tenants.tenant ORDER BY tenant LIMIT 1) later
), tenant_shares AS MATERIALIZED (
  SELECT tenant, count(*) OVER () AS tenant_count FROM tenants
   WHERE EXISTS (SELECT FROM queue_entry t WHERE t.tenant = tenants.tenant AND (cancel_due
          AND (started_at IS NOT NULL OR state = 'canceled') AND (state <> 'canceled' OR next_at <= now())) AND true)
), own AS (
  SELECT own_row.notification_id, own_row.turn FROM tenant_shares CROSS JOIN LATERAL (
    SELECT notification_id, row_number() OVER () AS turn FROM (
      SELECT notification_id FROM queue_entry t WHERE t.tenant = tenant_shares.tenant AND (cancel_due
             AND (started_at IS NOT NULL OR state = 'canceled') AND (state <> 'canceled' OR next_at <= now()))
             AND true ORDER BY notification_id
       LIMIT (CAST(:limit AS bigint) + tenant_count - 1) / tenant_count) tenant_rows) own_row
), few AS (
  SELECT notification_id FROM queue_entry WHERE (cancel_due AND (started_at IS NOT NULL OR state = 'canceled')
         AND (state <> 'canceled' OR next_at <= now())) AND true AND NOT (SELECT has_backlog FROM backlog)
   ORDER BY tenant, notification_id LIMIT CAST(:limit AS bigint)
), chosen AS (
  (SELECT notification_id FROM own ORDER BY turn,
         random() LIMIT CAST(:limit AS bigint)) UNION ALL SELECT notification_id FROM few
)
SELECT notification_id, tenant, generation FROM queue_entry JOIN chosen USING (notification_id)
