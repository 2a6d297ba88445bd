UPDATE queue_entry q SET state = 'started', claimed_by = NULL, queued_provider = NULL, queued_at = NULL,
       started_at = COALESCE(q.started_at, now()), waits_for = NULL, awaited_provider = NULL, waits_until = NULL,
       recipient_id = NULL, next_at = now() + interval '1 minute' WHERE q.notification_id = :id
       AND q.generation = :generation AND (q.claimed_by IS NOT NULL OR q.queued_provider IS NOT NULL
       OR q.state = 'due'
        OR (q.state = 'waiting' AND COALESCE(q.waits_until, now()) <= now()))
