SELECT name FROM unnest(CAST(:names AS text[])) AS provider(name)
 WHERE EXISTS (SELECT 1 FROM queue_entry WHERE state = 'waiting' AND awaited_provider IS NOT NULL
        AND awaited_provider = name)
