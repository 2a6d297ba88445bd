-- Each answer is claimed once, before it is sent: a lost one is not repeated. Late ones are dropped.
WITH due AS (
  SELECT id, answer_until > now() AS is_in_time FROM inbound_message WHERE answer_until IS NOT NULL
   ORDER BY answer_until LIMIT :limit FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE inbound_message m SET answer_until = NULL, answered_at = CASE WHEN due.is_in_time THEN now() END
    FROM due WHERE m.id = due.id
  RETURNING m.id, m.provider, m.from_number, m.to_number, m.keyword, m.answered_at
)
SELECT id, provider, from_number, to_number, keyword FROM claimed WHERE answered_at IS NOT NULL
