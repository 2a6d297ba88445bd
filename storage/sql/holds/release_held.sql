WITH RECURSIVE paused AS MATERIALIZED (
  SELECT tenant, kind, name FROM hold
), down AS MATERIALIZED (
  SELECT provider FROM provider_health
   WHERE NOT (state = 'closed' OR probes > 0) OR throttled_until > now()
), cause AS (
  (SELECT held_priority, hold_key FROM delivery WHERE held_at IS NOT NULL
         AND release_expires_at IS NULL ORDER BY held_priority, hold_key LIMIT 1)
   UNION ALL
  SELECT later.* FROM cause CROSS JOIN LATERAL (
    SELECT held_priority, hold_key FROM delivery
     WHERE held_at IS NOT NULL AND release_expires_at IS NULL AND (held_priority, hold_key) > (cause.held_priority,
            cause.hold_key)
     ORDER BY held_priority, hold_key LIMIT 1) later
), free_cause AS MATERIALIZED (
  SELECT held_priority, hold_key FROM cause WHERE
NOT EXISTS (SELECT 1 FROM paused h WHERE h.tenant IS NULL
   AND (h.kind = 'tenant' OR (h.kind = 'channel' AND h.name = split_part(hold_key, ' ', 1))
     OR (h.kind = 'type' AND h.name = split_part(hold_key, ' ', 2))))
AND EXISTS (SELECT 1 FROM unnest(string_to_array(split_part(hold_key, ' ', 3), ',')) AS p(name)
       WHERE p.name NOT IN (SELECT provider FROM down) AND NOT EXISTS (
   SELECT 1 FROM paused h WHERE h.tenant IS NULL AND h.kind = 'provider' AND h.name = p.name))
), tenants AS (
  SELECT free_cause.*, first.tenant FROM free_cause CROSS JOIN LATERAL (
    SELECT tenant FROM delivery d
     WHERE held_at IS NOT NULL AND release_expires_at IS NULL AND d.held_priority = free_cause.held_priority
            AND d.hold_key = free_cause.hold_key
     ORDER BY tenant LIMIT 1) first
   UNION ALL
  SELECT tenants.held_priority, tenants.hold_key, later.tenant FROM tenants CROSS JOIN LATERAL (
    SELECT tenant FROM delivery d
     WHERE held_at IS NOT NULL AND release_expires_at IS NULL AND d.held_priority = tenants.held_priority
            AND d.hold_key = tenants.hold_key
       AND d.tenant > tenants.tenant ORDER BY tenant LIMIT 1) later
), free AS MATERIALIZED (
  SELECT *, count(*) OVER (PARTITION BY held_priority) AS tenant_count FROM tenants
   WHERE
NOT EXISTS (SELECT 1 FROM paused h WHERE (h.tenant IS NULL OR h.tenant = tenants.tenant)
   AND (h.kind = 'tenant' OR (h.kind = 'channel' AND h.name = split_part(hold_key, ' ', 1))
     OR (h.kind = 'type' AND h.name = split_part(hold_key, ' ', 2))))
AND EXISTS (SELECT 1 FROM unnest(string_to_array(split_part(hold_key, ' ', 3), ',')) AS p(name)
       WHERE p.name NOT IN (SELECT provider FROM down) AND NOT EXISTS (
   SELECT 1 FROM paused h WHERE (h.tenant IS NULL OR h.tenant = tenants.tenant) AND h.kind = 'provider'
          AND h.name = p.name))
), offered AS (
  SELECT id FROM (
    SELECT mine.id, free.held_priority, free.tenant,
           row_number() OVER (PARTITION BY free.tenant, free.held_priority ORDER BY mine.held_at) AS turn
      FROM free CROSS JOIN LATERAL (
        SELECT d.id, d.held_at FROM delivery d
         WHERE held_at IS NOT NULL AND release_expires_at IS NULL AND d.held_priority = free.held_priority
                AND d.hold_key = free.hold_key
           AND d.tenant = free.tenant
         ORDER BY d.held_at LIMIT least(:limit, CAST(:max_examined AS bigint) / free.tenant_count + 1) FOR UPDATE SKIP LOCKED) mine)
         own
   ORDER BY held_priority, turn, tenant LIMIT :limit
), released AS (
  UPDATE delivery d SET release_expires_at = now() + make_interval(secs => 12),
         held_at = CASE WHEN n.finished_at IS NULL THEN d.held_at END
    FROM offered, notification n WHERE d.id = offered.id AND n.id = d.notification_id
  RETURNING d.notification_id, d.generation
), entry AS (
  SELECT q.notification_id FROM queue_entry q
   WHERE (q.notification_id, q.generation) IN (SELECT notification_id, generation FROM released)
     AND q.state IN ('started', 'waiting') FOR UPDATE SKIP LOCKED
), due AS (
  UPDATE queue_entry q SET state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL FROM entry
         WHERE q.notification_id = entry.notification_id RETURNING 1
)
SELECT (SELECT count(*) FROM released), (SELECT max(pg_notify(:channel, :due)::text) FROM due)
