INSERT INTO suppression AS old (id, tenant, channel, address_hash, address, reason, source, notification_id,
       created_at, expires_at)
VALUES (:id, :tenant, :channel, :address_hash, CAST(:address AS jsonb), :reason, :source, :notification_id, now(),
        :expires_at)
ON CONFLICT (tenant, channel, address_hash) WHERE lifted_at IS NULL DO UPDATE
   SET reason = EXCLUDED.reason, source = EXCLUDED.source, notification_id = EXCLUDED.notification_id,
       expires_at = EXCLUDED.expires_at, address = COALESCE(EXCLUDED.address, old.address)
 WHERE (COALESCE(EXCLUDED.expires_at, 'infinity'), array_position(CAST(:gravity AS text[]), EXCLUDED.reason),
        EXCLUDED.source NOT LIKE :group_pattern)
     > (COALESCE(old.expires_at, 'infinity'), array_position(CAST(:gravity AS text[]), old.reason),
        old.source NOT LIKE :group_pattern)
RETURNING id, channel, address, reason, source, notification_id, created_at, expires_at, lifted_at
