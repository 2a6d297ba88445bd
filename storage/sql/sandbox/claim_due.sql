UPDATE sandbox_receipt r SET due_at = now() + interval '5 seconds'
  FROM (SELECT id FROM sandbox_receipt WHERE posted_at IS NULL AND due_at <= now()
         ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED) due
 WHERE r.id = due.id RETURNING r.id, r.message_id, r.attempt_id, r.kind, r.at
