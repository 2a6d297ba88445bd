SELECT id, channel, address, reason, source, notification_id, created_at, expires_at, lifted_at FROM suppression
 WHERE tenant = :tenant AND id = :id
