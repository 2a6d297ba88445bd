WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS x(
    id uuid, revision int, event_id uuid, delay float8, forced bool)
), redriven AS (
  UPDATE notification n SET generation = n.generation + 1, status = 'PENDING', failure_reason = NULL, failures = NULL,
         finished_at = NULL, cancel_requested_at = NULL, revision = n.revision + 1
    FROM item WHERE n.id = item.id AND n.tenant = :tenant AND n.revision = item.revision
  RETURNING n.id, n.tenant, n.generation, n.notification_type, n.priority, item.event_id, item.forced, item.delay
), queued AS (
  INSERT INTO queue_entry (notification_id, generation, tenant, priority, lane, state, next_at, waits_until)
  SELECT id, generation, tenant, priority, hashtext(notification_type),
         CASE WHEN delay > 0 THEN 'waiting' ELSE 'due' END,
         now() + make_interval(secs => delay), CASE WHEN delay > 0 THEN now() + make_interval(secs => delay) END
    FROM redriven
  ON CONFLICT (notification_id) DO UPDATE SET generation = EXCLUDED.generation, state = EXCLUDED.state,
         next_at = EXCLUDED.next_at, waits_until = EXCLUDED.waits_until, priority = EXCLUDED.priority,
         started_at = NULL, claimed_by = NULL, queued_provider = NULL, queued_at = NULL, evidence_due = false,
         cancel_due = false
), reset_deliveries AS (
  UPDATE delivery d SET awaited_evidence = NULL, held_at = NULL, held_providers = NULL, hold_key = NULL,
         release_expires_at = NULL
    FROM redriven WHERE d.notification_id = redriven.id AND (d.awaited_evidence IS NOT NULL OR d.held_at IS NOT NULL)
), timeline AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, detail, status)
  SELECT event_id, tenant, id, clock_timestamp(), 'redriven', jsonb_strip_nulls(jsonb_build_object(
         'generation', generation, 'key', CAST(:key AS text), 'forced', CASE WHEN forced THEN true END)), 'PENDING'
    FROM redriven
  ON CONFLICT (id) DO NOTHING
)
SELECT id, pg_notify(:channel, :due)::text FROM redriven
