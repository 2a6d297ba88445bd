SELECT count(*) FROM (SELECT 1 FROM delivery WHERE held_at IS NOT NULL AND release_expires_at IS NULL
       LIMIT 20000) held
