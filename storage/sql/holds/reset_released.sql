WITH expired AS (
  SELECT id FROM delivery WHERE held_at IS NOT NULL AND release_expires_at IS NOT NULL AND release_expires_at <= now()
   ORDER BY release_expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE delivery d SET release_expires_at = NULL FROM expired WHERE d.id = expired.id
