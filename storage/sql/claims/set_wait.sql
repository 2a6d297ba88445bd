UPDATE queue_entry q SET
       state = 'waiting', claimed_by = NULL, queued_provider = NULL, queued_at = NULL,
              started_at = COALESCE(q.started_at, now()), waits_until = CAST(:until AS timestamptz),
       next_at = COALESCE(CAST(:until AS timestamptz), now() + interval '1 minute')
 WHERE q.notification_id = :id AND q.generation = :generation AND q.state NOT IN ('collecting', 'canceled')
