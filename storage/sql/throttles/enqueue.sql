WITH awaited_window AS (
  UPDATE throttle_window SET has_waiters = true WHERE tenant = :tenant AND key = ANY(:keys) RETURNING key, ends_at
), left_others AS (
  DELETE FROM throttle_queue_entry WHERE notification_id = :id AND generation = :generation AND granted_at IS NULL
     AND key <> ALL(:keys)
), queued AS (
  INSERT INTO throttle_queue_entry (notification_id, generation, key, tenant, priority)
  SELECT :id, :generation, key, :tenant, :priority FROM awaited_window
  ON CONFLICT (notification_id, generation, key) DO NOTHING
)
SELECT max(ends_at) FROM awaited_window
