WITH RECURSIVE tenants AS (
  (SELECT tenant FROM queue_entry WHERE state = 'due' AND priority <= 2 ORDER BY tenant LIMIT 1)
   UNION ALL
  SELECT later.tenant FROM tenants CROSS JOIN LATERAL (
    SELECT tenant FROM queue_entry WHERE state = 'due' AND priority <= 2
           AND tenant > tenants.tenant ORDER BY tenant LIMIT 1) later
), excess AS (
  SELECT own.notification_id FROM tenants CROSS JOIN LATERAL (
    SELECT notification_id FROM queue_entry WHERE state = 'due' AND priority <= 2 AND tenant = tenants.tenant
     ORDER BY priority, next_at, notification_id OFFSET :burst LIMIT :limit) own
   LIMIT :limit
), locked_notification AS (
  SELECT n.id, n.tenant FROM notification n JOIN excess ON n.id = excess.notification_id
   ORDER BY n.id FOR KEY SHARE OF n SKIP LOCKED
), entry AS (
  SELECT q.notification_id FROM queue_entry q JOIN locked_notification ON locked_notification.id = q.notification_id
   WHERE q.state = 'due' AND q.priority <= 2 FOR UPDATE OF q SKIP LOCKED
), demoted AS (
  UPDATE queue_entry q SET priority = 2 + 1 FROM entry WHERE q.notification_id = entry.notification_id
  RETURNING q.notification_id
), timeline AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, reason)
  SELECT gen_random_uuid(), locked_notification.tenant, locked_notification.id, clock_timestamp(), 'demoted',
         'urgent_burst'
    FROM demoted JOIN locked_notification ON locked_notification.id = demoted.notification_id
)
SELECT count(*) FROM demoted
