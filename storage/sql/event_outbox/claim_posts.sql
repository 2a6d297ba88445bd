-- The sample of 500 due messages shows which endpoints have some. If more are due, all endpoints are read.
WITH in_flight AS (
  SELECT * FROM jsonb_to_recordset(CAST(:in_flight AS jsonb)) AS x(endpoint_id uuid, tenant uuid, failing bool)
), first_due AS MATERIALIZED (
  SELECT endpoint_id FROM event_message WHERE next_attempt_at <= now() ORDER BY next_attempt_at LIMIT 500
), target AS (
  SELECT id, tenant, failing_since FROM event_endpoint WHERE enabled AND id IN (SELECT endpoint_id FROM first_due)
   UNION
  SELECT id, tenant, failing_since FROM event_endpoint
   WHERE enabled AND (SELECT count(*) FROM first_due) = 500
), due AS (
  SELECT m.id, m.next_attempt_at, p.tenant, p.failing_since IS NOT NULL AS failing
    FROM target p CROSS JOIN LATERAL (
      SELECT id, next_attempt_at FROM event_message WHERE endpoint_id = p.id AND next_attempt_at <= now()
       ORDER BY next_attempt_at
       LIMIT greatest(0, CASE WHEN p.failing_since IS NULL THEN CAST(:of_endpoint AS int) ELSE 1 END
                         - (SELECT count(*) FROM in_flight WHERE in_flight.endpoint_id = p.id))
         FOR UPDATE SKIP LOCKED) m
), ranked AS (
  SELECT id, failing,
         row_number() OVER (PARTITION BY tenant ORDER BY failing, next_attempt_at)
           + (SELECT count(*) FROM in_flight WHERE in_flight.tenant = due.tenant) AS turn,
         row_number() OVER (PARTITION BY failing ORDER BY next_attempt_at)
           + (SELECT count(*) FROM in_flight WHERE in_flight.failing) AS place
    FROM due
), chosen AS (
  SELECT id FROM ranked WHERE turn <= :of_tenant AND (NOT failing OR place <= :failing)
   ORDER BY failing, turn LIMIT :free_slots
)
UPDATE event_message m SET attempt_count = attempt_count + 1,
       next_attempt_at = now() + make_interval(secs => 30)
  FROM chosen, event_endpoint p WHERE m.id = chosen.id AND p.id = m.endpoint_id
RETURNING m.id, m.tenant, m.endpoint_id, p.failing_since IS NOT NULL AS failing, p.url, m.body, p.secret,
          CASE WHEN p.previous_until > now() THEN p.previous_secret END AS previous, m.attempt_count,
          m.next_attempt_at AS lease
