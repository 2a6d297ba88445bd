WITH call AS (
  INSERT INTO sandbox_call (id, attempt_id, delivery_id, endpoint_id, at)
  SELECT :id, :attempt_id, :delivery_id, :endpoint_id, now() WHERE CAST(:is_call AS bool)
), message AS (
  INSERT INTO sandbox_message (id, tenant, recipient_id, notification_id, delivery_id, attempt_id, endpoint_id,
         channel, address, content, email_options, accepted_at)
  SELECT :id, tenant, recipient_id, :notification_id, :delivery_id, :attempt_id, :endpoint_id, :channel,
         CAST(:address AS jsonb), CAST(:content AS jsonb), CAST(:email_options AS jsonb), clock_timestamp() FROM recipient
   WHERE tenant = :tenant AND recipient_id = :recipient_id FOR KEY SHARE
)
INSERT INTO sandbox_receipt (id, message_id, attempt_id, kind, at, due_at)
SELECT gen_random_uuid(), :id, :attempt_id, x.kind, moment, moment
  FROM jsonb_to_recordset(CAST(:receipts AS jsonb)) AS x(kind text, after float8),
       LATERAL (SELECT clock_timestamp() + x.after * interval '1 second' AS moment) later
RETURNING pg_notify(:listener, '')::text
