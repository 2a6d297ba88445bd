-- The rows stay locked until the transaction ends: another process skips them. A receipt names its attempt by our
-- reference or, without one, by the provider's id of the message. Two queries, so that each uses its own index.
WITH RECURSIVE backlog AS MATERIALIZED (
  SELECT count(*) > CAST(:limit AS bigint) AS has_backlog FROM (
    SELECT FROM receipt WHERE applied_at IS NULL AND next_attempt_at IS NOT NULL AND next_attempt_at <= now()
     ORDER BY next_attempt_at LIMIT CAST(:limit AS bigint) + 1) few
), tenants AS (
  (SELECT tenant FROM receipt WHERE applied_at IS NULL AND next_attempt_at IS NOT NULL
      AND (SELECT has_backlog FROM backlog) ORDER BY tenant LIMIT 1)
   UNION ALL
  SELECT later.tenant FROM tenants CROSS JOIN LATERAL (
    SELECT tenant FROM receipt WHERE applied_at IS NULL AND next_attempt_at IS NOT NULL AND tenant > tenants.tenant
     ORDER BY tenant LIMIT 1) later
), tenant_shares AS MATERIALIZED (
  SELECT tenant, count(*) OVER () AS tenant_count FROM tenants
   WHERE EXISTS (SELECT FROM receipt t WHERE t.tenant = tenants.tenant AND applied_at IS NULL
                    AND next_attempt_at IS NOT NULL AND next_attempt_at <= now())
), own AS (
  SELECT own_row.id, own_row.turn FROM tenant_shares CROSS JOIN LATERAL (
    SELECT id, row_number() OVER () AS turn FROM (
      SELECT id FROM receipt t WHERE t.tenant = tenant_shares.tenant AND applied_at IS NULL
         AND next_attempt_at IS NOT NULL AND next_attempt_at <= now() ORDER BY next_attempt_at
       LIMIT (CAST(:limit AS bigint) + tenant_count - 1) / tenant_count FOR UPDATE SKIP LOCKED) tenant_rows) own_row
), few AS (
  SELECT id FROM receipt WHERE applied_at IS NULL AND next_attempt_at IS NOT NULL AND next_attempt_at <= now()
     AND NOT (SELECT has_backlog FROM backlog)
   ORDER BY next_attempt_at LIMIT CAST(:limit AS bigint) FOR UPDATE SKIP LOCKED
), chosen AS (
  (SELECT id FROM own ORDER BY turn, random() LIMIT CAST(:limit AS bigint)) UNION ALL SELECT id FROM few
), due AS (
  SELECT id, provider, kind, attempt_id, provider_message_id, reason, occurred_at FROM receipt JOIN chosen USING (id)
)
SELECT due.id AS receipt_id, due.provider, due.kind, due.attempt_id, due.provider_message_id, due.reason,
       due.occurred_at, matched.id AS matched_id, matched.tenant AS matched_tenant, matched.notification_id, ledger.*
  FROM due
  LEFT JOIN LATERAL (
    SELECT a.id, a.tenant, a.notification_id FROM attempt a
     WHERE a.id = due.attempt_id AND (a.provider = due.provider OR due.provider = ANY(CAST(:reporters AS text[])))
     UNION ALL
    (SELECT a.id, a.tenant, a.notification_id FROM attempt a
      WHERE due.attempt_id IS NULL AND a.provider = due.provider AND a.provider_message_id = due.provider_message_id
      ORDER BY a.started_at LIMIT 1)
  ) matched ON true
  LEFT JOIN notification_ledger ledger ON ledger.id = matched.notification_id AND ledger.tenant = matched.tenant
 ORDER BY due.id
