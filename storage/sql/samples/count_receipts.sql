SELECT count(*) AS waiting, count(*) FILTER (WHERE attempt_count > 0) AS unmatched,
       GREATEST(extract(epoch FROM now() - min(next_attempt_at)), 0) AS lag
  FROM (SELECT next_attempt_at, attempt_count FROM receipt WHERE applied_at IS NULL AND next_attempt_at IS NOT NULL
         ORDER BY next_attempt_at LIMIT 20000) open
