WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:ends AS jsonb)) AS x(
    id uuid, status text, reason text, event_id uuid, made uuid)
), fenced AS (
  UPDATE notification n SET status = item.status, failure_reason = item.reason, finished_at = :at,
         failures = CASE WHEN item.reason IS NOT NULL THEN jsonb_build_array(jsonb_build_object(
           'channel', NULL, 'code', item.reason, 'args', jsonb_build_object())) END,
         revision = n.revision + 1
    FROM item WHERE n.id = item.id AND n.finished_at IS NULL
  RETURNING n.id, n.tenant, n.recipient_id, n.notification_type, n.tags, n.status, n.failure_reason, n.created_at,
         item.event_id, item.made,
            NULL::text AS failure_category
), events AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, reason, detail, status)
  SELECT event_id, tenant, id, :at, lower(status), failure_reason,
         CASE WHEN made IS NOT NULL THEN jsonb_build_object('notification_id', made) END, status FROM fenced
  ON CONFLICT (id) DO NOTHING RETURNING id, notification_id, at, status, channel, reason, detail
), written_messages AS (
  INSERT INTO event_message (tenant, notification_id, event_id, occurred_at, attempt_count, attempts, id, endpoint_id,
         kind, body, next_attempt_at, given_up_at, last_error)
  SELECT n.tenant, n.id, e.id, e.at, 0, '[]', message.*
    FROM fenced n
    JOIN events e ON e.notification_id = n.id AND e.status <> 'PENDING'
   CROSS JOIN LATERAL event_messages_of(
           n.tenant, n.id, n.notification_type, n.recipient_id, n.tags, n.status, n.failure_reason, n.failure_category,
           e.id, e.at, e.status, e.channel, e.reason, e.detail) message
  ON CONFLICT (id) DO NOTHING RETURNING next_attempt_at
)
SELECT count(*), (SELECT pg_notify('tocsin_events', '')::text FROM written_messages
       WHERE next_attempt_at IS NOT NULL LIMIT 1) FROM fenced
