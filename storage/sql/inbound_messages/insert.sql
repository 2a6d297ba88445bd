-- Store one message for each tenant that it concerns, with its events: a keyword concerns every tenant that has the number,
-- another text those that have sent to it by this provider. The first tenant has the answer, unless the number had as many
-- as it may have in a day.
WITH owner AS (
  SELECT k.id, k.tenant, k.key, array_agg(r.recipient_id ORDER BY r.recipient_id) AS recipient_ids
    FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS uuid[]), CAST(:keys AS text[])) AS k(id, tenant, key)
    JOIN recipient r ON r.tenant = k.tenant AND r.address_hashes->>'phone' = k.key
   GROUP BY k.id, k.tenant, k.key
), concerned AS (
  SELECT o.*, row_number() OVER (ORDER BY o.tenant) AS place FROM owner o
   WHERE CAST(:keyword AS text) IS NOT NULL OR EXISTS (
         SELECT FROM notification n JOIN attempt a ON a.notification_id = n.id
          WHERE n.tenant = o.tenant AND n.recipient_id = ANY(o.recipient_ids) AND n.id > :since
            AND a.tenant = o.tenant AND a.provider = :provider AND a.address_hash = o.key
            AND a.evidence IS DISTINCT FROM 'not_sent')
), answers AS (
  SELECT count(*) AS count FROM concerned c JOIN inbound_message m ON m.tenant = c.tenant AND m.address_hash = c.key
   WHERE m.received_at > now() - interval '1 day' AND COALESCE(m.answer_until, m.answered_at) IS NOT NULL
), stored AS (
  INSERT INTO inbound_message (id, tenant, provider, provider_message_id, address_hash, from_number, to_number, text,
                               keyword, recipient_ids, received_at, answer_until)
  SELECT c.id, c.tenant, :provider, :provider_message_id, c.key, :from_number, :to_number, :text, :keyword,
         c.recipient_ids, now(), CASE WHEN CAST(:needs_answer AS bool) AND c.place = 1 AND answers.count < :max_answers
                                      THEN now() + make_interval(secs => :answer_within) END
    FROM concerned c CROSS JOIN answers
  RETURNING *
), events AS (
  INSERT INTO event_message (id, tenant, endpoint_id, event_id, kind, occurred_at, body, attempt_count, next_attempt_at,
                             given_up_at, last_error, attempts)
  SELECT event_message_id(s.id, p.id), s.tenant, p.id, s.id,
         :kind, s.received_at, json_build_object('type', CAST(:kind AS text), 'timestamp', t.received_at,
           'data', json_build_object('id', s.id, 'channel', 'sms', 'provider', s.provider, 'from', s.from_number,
             'to', s.to_number, 'text', s.text, 'keyword', s.keyword, 'recipient_ids', s.recipient_ids,
             'received_at', t.received_at))::text, 0,
         CASE WHEN p.enabled THEN now() END, CASE WHEN NOT p.enabled THEN now() END,
         CASE WHEN NOT p.enabled THEN 'endpoint_disabled' END, '[]'
    FROM stored s
    JOIN event_endpoint p ON p.tenant = s.tenant AND p.deleted_at IS NULL AND p.events && ARRAY['*', :kind]
   CROSS JOIN LATERAL (SELECT to_char(s.received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS received_at) t
)
SELECT count(*) FROM stored
