UPDATE tick SET sync_attempted_at = clock_timestamp() FROM (
  SELECT * FROM (
    SELECT tenant, notification_type FROM tick WHERE synced_at IS NULL
     ORDER BY sync_attempted_at NULLS FIRST LIMIT :limit FOR UPDATE SKIP LOCKED) unsynced
   UNION ALL
  SELECT * FROM (
    SELECT tenant, notification_type FROM tick WHERE synced_at < now() - make_interval(secs => :resync_after)
     ORDER BY synced_at LIMIT :limit FOR UPDATE SKIP LOCKED) old
   LIMIT :limit) due
 WHERE tick.tenant = due.tenant AND tick.notification_type = due.notification_type
RETURNING tick.tenant, tick.notification_type, tick.interval_minutes, tick.sync_attempted_at, tick.schedules,
          (SELECT key FROM tenant WHERE tenant.id = tick.tenant) AS tenant_key
