SELECT count(*) AS waiting, GREATEST(extract(epoch FROM now() - min(next_attempt_at)), 0) AS lag FROM (
  SELECT m.next_attempt_at FROM event_endpoint p CROSS JOIN LATERAL (
    SELECT next_attempt_at FROM event_message
     WHERE endpoint_id = p.id AND next_attempt_at IS NOT NULL AND next_attempt_at <= now()
     ORDER BY next_attempt_at LIMIT 20000) m
   WHERE p.enabled LIMIT 20000) due
