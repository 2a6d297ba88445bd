SELECT id FROM sandbox_message
 WHERE tenant = :tenant AND recipient_id = :recipient_id AND attempt_id = :attempt_id ORDER BY id
