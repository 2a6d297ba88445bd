WITH ended_window AS (
  SELECT tenant, key, max_slots, per_seconds FROM throttle_window
   WHERE (tenant, key) IN (SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])))
), waiting AS (
  SELECT o.tenant, o.key, o.max_slots, first.notification_id, first.place
    FROM ended_window o CROSS JOIN LATERAL (
      SELECT t.notification_id, row_number() OVER (ORDER BY t.priority, t.notification_id) AS place
        FROM throttle_queue_entry t JOIN notification n ON n.id = t.notification_id
       WHERE t.tenant = o.tenant AND t.key = o.key AND t.granted_at IS NULL
         AND n.finished_at IS NULL AND n.generation = t.generation
       ORDER BY t.priority, t.notification_id LIMIT o.max_slots + 1) first
), next_entries AS (
  SELECT q.notification_id FROM queue_entry q
   WHERE q.notification_id IN (SELECT notification_id FROM waiting WHERE place <= max_slots) AND q.state = 'waiting'
   ORDER BY q.notification_id FOR UPDATE
), woken AS (
  UPDATE queue_entry q SET state = 'due', next_at = now(), claimed_by = NULL, waits_until = NULL
    FROM next_entries WHERE q.notification_id = next_entries.notification_id RETURNING q.notification_id
), opened_window AS (
  UPDATE throttle_window w SET starts_at = now(), ends_at = now() + make_interval(secs => o.per_seconds),
         used_slots = 0,
         has_waiters = EXISTS (
           SELECT 1 FROM waiting x WHERE x.tenant = w.tenant AND x.key = w.key AND x.place > o.max_slots)
    FROM ended_window o WHERE w.tenant = o.tenant AND w.key = o.key RETURNING 1
)
SELECT (SELECT count(*) FROM opened_window), (SELECT max(pg_notify(:channel, :due)::text) FROM woken)
