WITH acquired AS (
  UPDATE throttle_window w SET starts_at = x.starts_at, ends_at = x.ends_at, used_slots = x.used_slots
    FROM jsonb_to_recordset(CAST(:windows AS jsonb)) AS x(
         key text, starts_at timestamptz, ends_at timestamptz, used_slots int)
   WHERE w.tenant = :tenant AND w.key = x.key RETURNING w.key
)
INSERT INTO throttle_queue_entry (notification_id, generation, key, tenant, priority, granted_at)
SELECT :id, :generation, key, :tenant, :priority, clock_timestamp() FROM acquired
ON CONFLICT (notification_id, generation, key) DO UPDATE SET granted_at = EXCLUDED.granted_at
