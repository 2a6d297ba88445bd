SELECT waits_for AS cause, count(*) AS count
  FROM (SELECT waits_for FROM queue_entry WHERE waits_for IS NOT NULL LIMIT 20000) waiting GROUP BY 1
