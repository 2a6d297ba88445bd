UPDATE engine_state SET hold_name = :name, restored_at = :at, restored_before = :before
 WHERE id = 1 AND hold_name IS DISTINCT FROM :name
