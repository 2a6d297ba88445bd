SELECT restored_at FROM engine_state
 WHERE id = 1 AND hold_name = released_hold AND workflows_ended_at IS DISTINCT FROM restored_at
   AND recovered_at IS NOT NULL
