SELECT count(*) > :limit OR EXISTS (
         SELECT 1 FROM erasure WHERE tenant = :tenant AND recipient_id = :recipient_id AND finished_at IS NULL
            AND erased_at IS NULL)
  FROM (SELECT 1 FROM notification WHERE tenant = :tenant AND recipient_id = :recipient_id LIMIT :limit + 1) counted
