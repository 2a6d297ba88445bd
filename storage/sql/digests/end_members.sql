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
  INSERT INTO event_message (id, tenant, endpoint_id, notification_id, event_id, kind, occurred_at, body,
         attempt_count,
         next_attempt_at, given_up_at, last_error, attempts)
  SELECT CAST(left(encode(sha256(convert_to(concat(e.id, p.id), 'UTF8')), 'hex'), 32) AS uuid), p.tenant, p.id, n.id,
         e.id, k.kind, e.at,
         json_build_object('type', k.kind, 'timestamp',
           to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', json_build_object(
             'notification_id', n.id, 'notification_type', n.notification_type, 'recipient_id', n.recipient_id,
             'status', e.status, 'channel', e.channel,
             'reason', CASE WHEN e.status = n.status THEN n.failure_reason
               ELSE concat_ws(': ', e.reason, e.detail->>'cause') END,
             'category', CASE WHEN e.status = n.status THEN n.failure_category END,
             'reported_by', e.detail->>'reported_by', 'tags', n.tags))::text,
         0, CASE WHEN p.enabled THEN now() END, CASE WHEN NOT p.enabled THEN now() END,
         CASE WHEN NOT p.enabled THEN 'endpoint_disabled' END, '[]'
    FROM fenced n
    JOIN event_endpoint p ON p.tenant = n.tenant AND p.deleted_at IS NULL
    JOIN events e ON e.notification_id = n.id AND e.status <> 'PENDING'
   CROSS JOIN LATERAL (SELECT 'notification.' || lower(e.status) AS kind) k
   WHERE p.events && ARRAY['*', k.kind]
  ON CONFLICT (id) DO NOTHING RETURNING next_attempt_at
)
SELECT count(*), (SELECT pg_notify('tocsin_events', '')::text FROM written_messages
       WHERE next_attempt_at IS NOT NULL LIMIT 1) FROM fenced
