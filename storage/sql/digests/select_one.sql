SELECT id, notification_type, recipient_id, item_count, opened_at, closes_at, closed_at, notification_id,
digest_key,
  closes_on_schedule FROM digest WHERE tenant = :tenant AND id = :id
