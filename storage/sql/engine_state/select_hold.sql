SELECT hold_name AS name, restored_at AS since, hold_name IS DISTINCT FROM released_hold AS in_force
  FROM engine_state WHERE id = 1
