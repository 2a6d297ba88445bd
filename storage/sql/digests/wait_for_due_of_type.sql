SELECT id FROM digest
 WHERE tenant = :tenant AND notification_type = :notification_type AND closed_at IS NULL
   AND closes_on_schedule AND closes_at <= now()
 ORDER BY closes_at LIMIT 1 FOR UPDATE
