SELECT id, channel, address, reason, source, notification_id, created_at, expires_at, lifted_at FROM suppression s
 WHERE tenant = :tenant AND (s.lifted_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now())) <> :ended
   AND (CAST(:channel AS text) IS NULL OR channel = :channel)
   AND (CAST(:reason AS text) IS NULL OR reason = :reason)
   AND (CAST(:keys AS text[]) IS NULL OR address_hash = ANY(:keys))
   AND (CAST(:before AS uuid) IS NULL OR id < :before)
 ORDER BY id DESC LIMIT :limit
