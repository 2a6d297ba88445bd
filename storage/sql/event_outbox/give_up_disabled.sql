WITH given_up AS (
  UPDATE event_message m SET next_attempt_at = NULL, last_error = 'endpoint_disabled',
         given_up_at = CASE WHEN m.delivered_at IS NULL THEN now() END
    FROM (
      SELECT due.id FROM event_endpoint p CROSS JOIN LATERAL (
        SELECT id FROM event_message WHERE endpoint_id = p.id AND next_attempt_at <= now()
         ORDER BY next_attempt_at LIMIT 1000 FOR UPDATE SKIP LOCKED) due
       WHERE NOT p.enabled AND p.deleted_at IS NULL LIMIT 1000) due
   WHERE m.id = due.id RETURNING 1
)
SELECT count(*) FROM given_up HAVING count(*) > 0
