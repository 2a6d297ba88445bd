WITH released AS (
  UPDATE notification n SET digest_key = NULL,
         expires_at = CASE WHEN n.expires_at IS NULL AND item.expires_in IS NOT NULL
                           THEN least(item.at + item.expires_in * interval '1 second', '9999-12-31Z')
                           ELSE n.expires_at END
    FROM jsonb_to_recordset(CAST(:released AS jsonb)) AS item(id uuid, at timestamptz, expires_in float8)
   WHERE n.id = item.id RETURNING n.id, n.generation
)
UPDATE queue_entry q SET state = 'due', next_at = now() FROM released n
 WHERE q.notification_id = n.id AND q.generation = n.generation
RETURNING pg_notify(:channel, :due)::text
