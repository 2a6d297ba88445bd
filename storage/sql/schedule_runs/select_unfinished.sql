SELECT DISTINCT recipient_id FROM notification
 WHERE schedule_id = :id AND finished_at IS NULL AND digest_key IS NULL AND recipient_id = ANY(:recipient_ids)
