-- A schedule for this recipient alone has nothing more to send. Its payload and tags are removed too.
WITH deleted AS (
  UPDATE schedule SET updated_at = now(),
         spec = CASE WHEN spec->>'recipient_id' = CAST(:recipient_id AS text)
                       OR spec->'recipients' = jsonb_build_array(CAST(:recipient_id AS text))
                     THEN (spec - 'recipient_id') || '{"recipients": [], "payload": {}, "tags": []}'
                     ELSE jsonb_set(spec, '{recipients}', (spec->'recipients') - CAST(:recipient_id AS text)) END
   WHERE tenant = :tenant AND deleted_at IS NULL
     AND (spec->>'recipient_id' = CAST(:recipient_id AS text) OR spec->'recipients' ? CAST(:recipient_id AS text))
  RETURNING id
)
SELECT count(DISTINCT deleted) FROM deleted
