WITH old AS (
  SELECT id FROM digest d WHERE tenant = :tenant AND id < :before AND closed_at < :ended_before
     AND NOT EXISTS (SELECT FROM notification n WHERE n.digest_id = d.id) ORDER BY id LIMIT :limit
), deleted AS (
  DELETE FROM digest d USING old WHERE d.id = old.id RETURNING 1
)
SELECT count(*) FROM deleted
