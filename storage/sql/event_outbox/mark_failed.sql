UPDATE event_message SET next_attempt_at = now() + make_interval(secs => CAST(:pause AS float8)),
       given_up_at = CASE WHEN CAST(:pause AS float8) IS NULL AND delivered_at IS NULL THEN now() END,
       last_status = :status, last_error = :error,
              attempts = jsonb_path_query_array(attempts || CAST(:attempt AS jsonb), '$[last-19 to last]')
 WHERE id = :id AND next_attempt_at = :lease
