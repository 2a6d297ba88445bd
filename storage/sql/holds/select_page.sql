WITH paused AS (
SELECT id, kind, name, reason, created_at AS since, created_by AS by FROM hold
 WHERE (tenant = :tenant OR tenant IS NULL) AND kind <> 'tenant'
 AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit
), waiting AS (
  SELECT hold_key, count(*) AS count FROM (
    SELECT hold_key FROM delivery
     WHERE held_at IS NOT NULL AND release_expires_at IS NULL AND tenant = :tenant AND status IN ('PENDING',
            'SENDING') LIMIT 100000) counted
   GROUP BY hold_key
)
SELECT paused.*, (
  SELECT COALESCE(sum(count), 0)::int FROM waiting
   WHERE CASE kind WHEN 'channel' THEN name = split_part(hold_key, ' ', 1)
                   WHEN 'type' THEN name = split_part(hold_key, ' ', 2)
                   ELSE name = ANY(string_to_array(split_part(hold_key, ' ', 3), ',')) END) AS waiting
  FROM paused ORDER BY id DESC
