-- The event locks the notification: it comes first here, as in all statements.
WITH open AS (
  SELECT id, tenant, generation, recipient_id FROM notification
   WHERE id = :id AND tenant = :tenant AND generation = :generation AND finished_at IS NULL FOR UPDATE
), waiting AS (
  UPDATE queue_entry q SET waits_for = :reason, awaited_provider = :provider, recipient_id = open.recipient_id,
       state = 'waiting', claimed_by = NULL, queued_provider = NULL, queued_at = NULL,
              started_at = COALESCE(q.started_at, now()), waits_until = CAST(:until AS timestamptz),
       next_at = COALESCE(CAST(:until AS timestamptz), now() + interval '1 minute')
    FROM open WHERE q.notification_id = open.id AND q.generation = open.generation
  RETURNING open.id, open.tenant
)
INSERT INTO event (id, tenant, notification_id, at, kind, reason, detail)
SELECT :event_id, tenant, id, clock_timestamp(), 'waiting', :reason,
       jsonb_build_object('until', CAST(:until_text AS text))
         || jsonb_strip_nulls(jsonb_build_object('provider', CAST(:provider AS text))) FROM waiting
ON CONFLICT (id) DO NOTHING
