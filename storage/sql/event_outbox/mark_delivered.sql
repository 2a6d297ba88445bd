WITH recovered_endpoint AS (
  UPDATE event_endpoint SET failing_since = NULL, failed_at = NULL
   WHERE id = :endpoint_id AND failing_since IS NOT NULL AND enabled
)
UPDATE event_message SET delivered_at = COALESCE(delivered_at, now()), given_up_at = NULL, next_attempt_at = NULL,
       last_status = :status, last_error = NULL,
              attempts = jsonb_path_query_array(attempts || CAST(:attempt AS jsonb), '$[last-19 to last]')
 WHERE id = :id
