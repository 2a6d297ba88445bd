UPDATE engine_state SET confirmed_id = :id WHERE id = 1 AND namespace_id <> :id
RETURNING pg_notify(:channel, :due)::text
