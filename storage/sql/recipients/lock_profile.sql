SELECT recipient_id, contact, locale, timezone, attributes, created_at, updated_at FROM recipient
 WHERE tenant = :tenant AND recipient_id = :recipient_id FOR NO KEY UPDATE
