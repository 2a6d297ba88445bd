WITH entry AS (
  SELECT notification_id FROM queue_entry WHERE notification_id = ANY(:ids) ORDER BY notification_id FOR UPDATE
)
UPDATE queue_entry q SET cancel_due = q.cancel_due OR q.notification_id = ANY(:to_cancel),
       recipient_id = CASE WHEN q.recipient_id IS NOT NULL THEN :replacement_id END
  FROM entry WHERE q.notification_id = entry.notification_id
