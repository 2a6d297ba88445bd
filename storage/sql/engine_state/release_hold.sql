UPDATE engine_state SET released_hold = hold_name
 WHERE id = 1 AND hold_name = :name AND released_hold IS DISTINCT FROM :name
RETURNING pg_notify(:channel, '')::text
