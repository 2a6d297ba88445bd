-- The limit keeps all rows: without it Postgres expects 100 of them, and reads tables of some thousand rows as a whole.
WITH changed AS (
  SELECT * FROM jsonb_to_recordset(CAST(:notifications AS jsonb)) AS x(
         id uuid, revision int, status text, failure_reason text, finished_at timestamptz,
         cancel_requested_at timestamptz, known int, evidence_due bool, cancel_due bool, failure_category text,
         failures jsonb)
   LIMIT (SELECT jsonb_array_length(CAST(:notifications AS jsonb)))
), locked AS (
  -- The ids are a parameter too: without it Postgres reads a small table as a whole.
  SELECT x.* FROM changed x JOIN notification n ON n.id = x.id AND n.revision = x.revision
   WHERE n.id = ANY(CAST(:ids AS uuid[])) AND NOT EXISTS (
         SELECT 1 FROM receipt WHERE applied_at IS NULL AND provider = :provider
                                 AND provider_message_id = :message_id AND attempt_id IS NULL)
   ORDER BY n.id FOR NO KEY UPDATE OF n SKIP LOCKED
), fenced AS (
  UPDATE notification n SET status = x.status, failure_reason = x.failure_reason, failures = x.failures,
         finished_at = x.finished_at, cancel_requested_at = x.cancel_requested_at, revision = n.revision + 1
    FROM locked x WHERE n.id = x.id AND n.revision = x.revision
     AND (SELECT count(*) - x.known FROM delivery d WHERE d.notification_id = n.id) = 0
  RETURNING n.id, n.tenant, n.recipient_id, n.notification_type, n.tags, n.status, n.failure_reason, n.created_at,
            n.generation, n.finished_at, x.evidence_due, x.cancel_due, x.failure_category
), entry AS (
  -- An entry ends with its notification, unless a cancel is to be signaled: to a workflow that was started, or one
  -- whose start may be under way. The entries are locked first: a concurrent claim decides between the two.
  SELECT q.notification_id, q.state, n.finished_at IS NOT NULL AS finished, n.evidence_due,
         q.cancel_due OR n.cancel_due AS cancel_due,
         (q.state = 'claimed' OR q.started_at IS NOT NULL) AND (q.cancel_due OR n.cancel_due) AS kept
    FROM fenced n JOIN queue_entry q ON q.notification_id = n.id AND q.generation = n.generation
   WHERE q.state <> 'canceled' AND (n.finished_at IS NOT NULL OR n.evidence_due OR n.cancel_due)
   ORDER BY q.notification_id FOR UPDATE OF q
), signaled AS (
  UPDATE queue_entry q SET evidence_due = q.evidence_due OR entry.evidence_due,
         evidence_count = q.evidence_count + entry.evidence_due::int, cancel_due = entry.cancel_due
    FROM entry WHERE q.notification_id = entry.notification_id AND NOT entry.finished
), kept AS (
  UPDATE queue_entry q SET state = 'canceled', cancel_due = true, evidence_due = false,
         waits_for = NULL, awaited_provider = NULL, waits_until = NULL, recipient_id = NULL,
         next_at = CASE WHEN entry.state = 'claimed' THEN q.next_at ELSE now() END
    FROM entry WHERE q.notification_id = entry.notification_id AND entry.finished AND entry.kept
), ended AS (
  DELETE FROM queue_entry q USING entry
   WHERE q.notification_id = entry.notification_id AND entry.finished AND NOT entry.kept
), recipient_row AS (
  -- A provider's response may quote an address. It is not stored if the recipient was erased since the
  -- call. A recipient created after the acceptance of the notification is another one with the same id. The ten seconds
  -- cover the difference between the start of a transaction, which is the row's time, and its commit.
  SELECT n.id, n.finished_at, NOT EXISTS (
           SELECT 1 FROM recipient r WHERE r.tenant = n.tenant AND r.recipient_id = n.recipient_id
              AND r.created_at < n.created_at + interval '10 seconds') AS erased FROM fenced n
), attempts AS (
  UPDATE attempt t SET state = x.state, evidence = x.evidence, error_type = x.error_type, reason = x.reason,
         receipt_reason = x.receipt_reason, finished_at = x.finished_at, next_at = x.next_at,
         provider_message_id = x.provider_message_id, sent_at = x.sent_at,
         provider_response = CASE WHEN recipient_row.erased THEN NULL ELSE x.provider_response END, cost = x.cost,
         delivered_at = x.delivered_at, bounced_at = x.bounced_at, opened_at = x.opened_at, clicked_at = x.clicked_at
    FROM recipient_row JOIN jsonb_to_recordset(CAST(:attempts AS jsonb)) AS x(
         notification_id uuid, id uuid, state text, evidence text, error_type text, reason text,
         receipt_reason text, finished_at timestamptz, next_at timestamptz,
         provider_message_id text, provider_response jsonb, cost numeric, sent_at timestamptz,
         delivered_at timestamptz, bounced_at timestamptz, opened_at timestamptz, clicked_at timestamptz)
      ON x.notification_id = recipient_row.id
   WHERE t.id = x.id
), deliveries AS (
  UPDATE delivery t SET status = x.status, failure_reason = x.failure_reason, failure_args = x.failure_args,
         is_skipped_by_rule = x.is_skipped_by_rule, awaited_evidence = x.awaited_evidence,
         held_at = CASE WHEN recipient_row.finished_at IS NULL THEN t.held_at END,
         provider = x.provider, provider_message_id = x.provider_message_id,
         provider_response = CASE WHEN recipient_row.erased THEN NULL ELSE x.provider_response END,
         sent_at = x.sent_at, delivered_at = x.delivered_at, opened_at = x.opened_at, clicked_at = x.clicked_at
    FROM recipient_row JOIN jsonb_to_recordset(CAST(:deliveries AS jsonb)) AS x(
         notification_id uuid, id uuid, status text, failure_reason text, failure_args jsonb, is_skipped_by_rule bool,
         awaited_evidence text, provider text, provider_message_id text, provider_response jsonb, sent_at timestamptz,
         delivered_at timestamptz, opened_at timestamptz, clicked_at timestamptz)
      ON x.notification_id = recipient_row.id
   WHERE t.id = x.id
), events AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id, delivery_status,
                     status)
  SELECT x.id, fenced.tenant, fenced.id, x.at, x.kind, x.channel, x.reason, x.detail, x.delivery_id,
         x.delivery_status, x.status
    FROM fenced JOIN jsonb_to_recordset(CAST(:events AS jsonb)) AS x(
         notification_id uuid, ordinal int, id uuid, at timestamptz, kind text, channel text, reason text, detail jsonb,
         delivery_id uuid, delivery_status text, status text)
      ON x.notification_id = fenced.id
   ORDER BY x.notification_id, x.ordinal
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
SELECT id, (SELECT pg_notify(:dispatch, :evidence)::text FROM fenced WHERE evidence_due LIMIT 1),
       (SELECT pg_notify('tocsin_events', '')::text FROM written_messages WHERE next_attempt_at IS NOT NULL LIMIT 1)
  FROM fenced
