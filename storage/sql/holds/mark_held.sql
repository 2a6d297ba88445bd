-- Write one event per pause and attempt, however often the guard checks. All devices of a delivery share its mark. The
-- notification is locked first, in the common lock order. No name in `hold_key` contains a space; providers are sorted.
WITH locked_notification AS (
  SELECT id, priority, notification_type FROM notification
   WHERE id = :notification_id AND tenant = :tenant FOR KEY SHARE
), held AS (
  UPDATE delivery d SET held_at = clock_timestamp(), held_priority = locked_notification.priority,
         release_expires_at = NULL,
         held_providers = ARRAY(SELECT DISTINCT name
                FROM unnest(d.held_providers || CAST(:pool AS text[])) AS name ORDER BY name),
         hold_key = concat(d.channel, ' ', locked_notification.notification_type, ' ',
                array_to_string(ARRAY(SELECT DISTINCT name
                FROM unnest(d.held_providers || CAST(:pool AS text[])) AS name ORDER BY name), ','))
    FROM locked_notification WHERE d.id = :delivery_id AND d.notification_id = locked_notification.id
  RETURNING d.notification_id, d.tenant, d.generation
), waiting AS (
  UPDATE queue_entry q SET
       state = 'waiting', claimed_by = NULL, queued_provider = NULL, queued_at = NULL,
              started_at = COALESCE(q.started_at, now()), waits_until = CAST(NULL AS timestamptz),
       next_at = COALESCE(CAST(NULL AS timestamptz), now() + interval '1 minute')
 FROM held
   WHERE q.notification_id = held.notification_id AND q.generation = held.generation
     AND q.state IN ('claimed', 'started')
)
INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
SELECT :event_id, tenant, notification_id, now(), 'held', :channel, :reason,
       CAST(:detail AS jsonb), :delivery_id FROM held
ON CONFLICT (id) DO NOTHING
