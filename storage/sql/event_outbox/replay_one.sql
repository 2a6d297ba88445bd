UPDATE event_message SET next_attempt_at = now(), attempt_count = 0, given_up_at = NULL, replayed_at = now()
       WHERE id = :id AND endpoint_id = :endpoint_id
       RETURNING id
