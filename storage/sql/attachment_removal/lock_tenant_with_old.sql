SELECT id FROM tenant
 WHERE id = (SELECT tenant FROM attachment WHERE last_used_at < :cutoff ORDER BY last_used_at LIMIT 1)
   FOR NO KEY UPDATE
