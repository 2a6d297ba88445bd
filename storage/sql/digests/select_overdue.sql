WITH RECURSIVE backlog AS MATERIALIZED (
  SELECT count(*) > CAST(:limit AS bigint) AS has_backlog FROM (SELECT FROM digest WHERE (closed_at IS NULL
         AND closes_on_schedule = CAST(:on_schedule AS bool))
         AND closes_at <= now() - make_interval(secs => :late) ORDER BY closes_at LIMIT CAST(:limit AS bigint) + 1) few
), tenants AS (
  (SELECT tenant FROM digest WHERE (closed_at IS NULL
         AND closes_on_schedule = CAST(:on_schedule AS bool)) AND (SELECT has_backlog FROM backlog)
    ORDER BY tenant LIMIT 1)
   UNION ALL
  SELECT later.tenant FROM tenants CROSS JOIN LATERAL (SELECT tenant FROM digest WHERE (closed_at IS NULL
         AND closes_on_schedule = CAST(:on_schedule AS bool)) AND tenant > tenants.tenant ORDER BY tenant LIMIT 1) later
), tenant_shares AS MATERIALIZED (
  SELECT tenant, count(*) OVER () AS tenant_count FROM tenants
   WHERE EXISTS (SELECT FROM digest t WHERE t.tenant = tenants.tenant AND (closed_at IS NULL
          AND closes_on_schedule = CAST(:on_schedule AS bool)) AND closes_at <= now() - make_interval(secs => :late))
), own AS (
  SELECT own_row.id, own_row.turn FROM tenant_shares CROSS JOIN LATERAL (
    SELECT id, row_number() OVER () AS turn FROM (
      SELECT id FROM digest t WHERE t.tenant = tenant_shares.tenant AND (closed_at IS NULL
             AND closes_on_schedule = CAST(:on_schedule AS bool))
             AND closes_at <= now() - make_interval(secs => :late) ORDER BY closes_at
       LIMIT (CAST(:limit AS bigint) + tenant_count - 1) / tenant_count) tenant_rows) own_row
), few AS (
  SELECT id FROM digest WHERE (closed_at IS NULL AND closes_on_schedule = CAST(:on_schedule AS bool))
         AND closes_at <= now() - make_interval(secs => :late) AND NOT (SELECT has_backlog FROM backlog)
   ORDER BY closes_at LIMIT CAST(:limit AS bigint)
), chosen AS (
  (SELECT id FROM own ORDER BY turn, random() LIMIT CAST(:limit AS bigint)) UNION ALL SELECT id FROM few
)
SELECT id FROM chosen
