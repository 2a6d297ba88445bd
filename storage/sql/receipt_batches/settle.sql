-- A receipt that was not applied is postponed, by 1, 2, 4 … seconds up to an hour, so it never blocks the others.
-- After three days it is kept and not tried again. The raw receipt is kept only while its recipient is; this is a scalar
-- subquery, because Postgres hashes EXISTS over all attempts if it expects many rows. The limit keeps all rows: without
-- it Postgres expects 100 of them.
UPDATE receipt r SET attempt_count = r.attempt_count + 1,
       applied_at = CASE WHEN x.attempt_id IS NOT NULL THEN now() END,
       next_attempt_at = CASE WHEN x.attempt_id IS NULL AND r.received_at > now() - interval '3 days'
         THEN now() + least(power(2, least(r.attempt_count, 12)), 3600) * interval '1 second' END,
       raw = CASE WHEN x.attempt_id IS NULL OR coalesce((
         SELECT EXISTS (SELECT 1 FROM recipient r WHERE r.tenant = n.tenant AND r.recipient_id = n.recipient_id
                           AND r.created_at < n.created_at + interval '10 seconds')
           FROM attempt a JOIN notification n ON n.id = a.notification_id
          WHERE a.id = x.attempt_id), false) THEN r.raw ELSE '{}' END
  FROM (SELECT * FROM jsonb_to_recordset(CAST(:receipts AS jsonb)) AS given(id uuid, attempt_id uuid)
         LIMIT (SELECT jsonb_array_length(CAST(:receipts AS jsonb)))) x
 WHERE r.id = x.id
