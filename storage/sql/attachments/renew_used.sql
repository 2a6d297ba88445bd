WITH stale AS (
  SELECT id FROM attachment
   WHERE tenant = :tenant AND id IN (
         SELECT attachment_id FROM attachment_use WHERE notification_id = ANY(:notification_ids))
   ORDER BY id FOR NO KEY UPDATE
)
UPDATE attachment a SET last_used_at = :at, checked_use = NULL FROM stale WHERE a.id = stale.id
