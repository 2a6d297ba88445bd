SELECT p.priority, due.count, due.age
  FROM unnest(CAST(:priorities AS int[])) AS p(priority) CROSS JOIN LATERAL (
    SELECT count(*) AS count, GREATEST(extract(epoch FROM clock_timestamp() - min(next_at)), 0) AS age FROM (
      SELECT next_at FROM queue_entry WHERE state = 'due' AND priority = p.priority LIMIT 20000) counted) due
