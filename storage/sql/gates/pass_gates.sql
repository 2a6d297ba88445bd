WITH own AS (
  SELECT id, generation FROM notification WHERE id = :id AND tenant = :tenant AND digest_key IS NULL FOR UPDATE
), passed AS (
  UPDATE queue_entry q SET state = CASE WHEN q.state = 'waiting' THEN 'started' ELSE q.state END, waits_for = NULL,
         awaited_provider = NULL, waits_until = NULL, recipient_id = NULL FROM own
   WHERE q.notification_id = own.id AND q.generation = own.generation AND q.waits_for IS NOT NULL
)
SELECT id FROM own
