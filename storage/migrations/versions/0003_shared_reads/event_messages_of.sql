-- Build the messages about one timeline event (`e_…`) of a notification (`n_…`): one for each event endpoint of the tenant
-- that subscribes to it. The body is made once: every attempt sends these bytes. It names ids and facts, never addresses
-- or content. A message to a disabled endpoint is kept and not sent.
--
-- Postgres inlines this function: it is one SELECT, and neither volatile nor strict.
CREATE FUNCTION event_messages_of(n_tenant uuid, n_id uuid, n_type text, n_recipient_id text, n_tags text[],
                                  n_status text, n_failure_reason text, n_failure_category text, e_id uuid,
                                  e_at timestamptz, e_status text, e_channel text, e_reason text, e_detail jsonb)
RETURNS TABLE (id uuid, endpoint_id uuid, kind text, body text, next_attempt_at timestamptz, given_up_at timestamptz,
               last_error text)
LANGUAGE sql STABLE AS $$
SELECT CAST(left(encode(sha256(convert_to(concat(e_id, p.id), 'UTF8')), 'hex'), 32) AS uuid), p.id, k.kind,
       json_build_object('type', k.kind, 'timestamp',
         to_char(e_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', json_build_object(
           'notification_id', n_id, 'notification_type', n_type, 'recipient_id', n_recipient_id,
           'status', e_status, 'channel', e_channel,
           'reason', CASE WHEN e_status = n_status THEN n_failure_reason
             ELSE concat_ws(': ', e_reason, e_detail->>'cause') END,
           'category', CASE WHEN e_status = n_status THEN n_failure_category END,
           'reported_by', e_detail->>'reported_by', 'tags', n_tags))::text,
       CASE WHEN p.enabled THEN now() END, CASE WHEN NOT p.enabled THEN now() END,
       CASE WHEN NOT p.enabled THEN 'endpoint_disabled' END
  FROM event_endpoint p CROSS JOIN LATERAL (SELECT 'notification.' || lower(e_status) AS kind) k
 WHERE p.tenant = n_tenant AND p.deleted_at IS NULL AND p.events && ARRAY['*', k.kind]
$$
