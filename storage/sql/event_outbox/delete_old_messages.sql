WITH pruned AS (
  DELETE FROM event_message m USING (
      SELECT old.id FROM event_endpoint p CROSS JOIN LATERAL (
        SELECT id FROM event_message
         WHERE endpoint_id = p.id AND (next_attempt_at IS NULL OR p.deleted_at IS NOT NULL)
           AND occurred_at < CASE WHEN p.deleted_at IS NULL THEN now() - make_interval(days => :days)
                                  ELSE 'infinity' END
         ORDER BY occurred_at LIMIT 1000) old
       LIMIT 1000) old
   WHERE m.id = old.id RETURNING 1
)
SELECT count(*) FROM pruned HAVING count(*) > 0
