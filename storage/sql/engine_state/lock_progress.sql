SELECT recovery_since AS since, recovery_priority AS priority, recovery_after AS after FROM engine_state
 WHERE id = 1 AND recovery_since IS NOT NULL AND recovered_at IS NULL FOR UPDATE
