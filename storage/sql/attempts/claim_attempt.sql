-- `predates_restore` holds until an attempt for this endpoint has ended after the restore. A notification that was
-- redriven since then is sent anew. `moved`: the locked rows are newer than the rest of the statement shows, or the
-- statement took more than 50 ms and may have waited for a lock.
WITH target AS (
  SELECT n.id, n.tenant, n.revision, n.xmin AS n_version, p.xmin AS p_version, n.recipient_id, n.notification_type,
         n.created_at, n.send_at, n.priority, n.tags, n.type_id, t.spec, r.contact, r.address_hashes,
         p.global_channel_opt_in, p.type_channel_preferences, p.quiet_hours,
         COALESCE(r.timezone, o.timezone) AS timezone, o.phone_regions,
         o.email_domains, o.email_sender, o.email_reply_to, n.email_options,
         CASE WHEN n.id < e.restored_before THEN COALESCE(n.send_at <= e.restored_at, true)
         AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.delivery_id = :delivery_id AND a.endpoint_id = :endpoint_id
                            AND a.finished_at > e.restored_at)
         AND NOT EXISTS (SELECT 1 FROM event v WHERE v.notification_id = n.id AND v.kind = 'redriven'
                            AND v.at > e.restored_at)
       ELSE false END AS predates_restore,
       LEAST(n.created_at, e.restored_at - interval '1 day' * (n.created_at > e.restored_at)::int) AS sent_since
    FROM notification n
    LEFT JOIN engine_state e ON e.id = 1
    JOIN tenant o ON o.id = n.tenant
    JOIN notification_type t ON t.id = n.type_id
    JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id AND NOT EXISTS (SELECT 1
           FROM erasure g WHERE g.tenant = n.tenant AND g.recipient_id = n.recipient_id
           AND g.finished_at IS NULL AND g.erased_at IS NULL)
    JOIN user_preference p ON p.tenant = n.tenant AND p.user_id = n.recipient_id
   WHERE n.id = :id AND n.tenant = :tenant AND n.generation = :generation AND n.digest_key IS NULL
     FOR UPDATE OF n FOR SHARE OF p
), claimed AS (
  INSERT INTO attempt (id, tenant, notification_id, delivery_id, endpoint_id, address_hash, number, provider, state,
         started_at)
  SELECT :attempt_id, :tenant, target.id, :delivery_id, :endpoint_id, target.address_hashes->>CAST(:contact AS text),
         :number, :provider, 'submitting',
         CASE WHEN target.predates_restore THEN target.sent_since ELSE clock_timestamp() END
    FROM target
  ON CONFLICT (id) DO NOTHING RETURNING id, started_at
), sending AS (
  UPDATE delivery SET status = CASE WHEN status = 'PENDING' THEN 'SENDING' ELSE status END, held_at = NULL,
         held_priority = NULL, held_providers = NULL, hold_key = NULL, release_expires_at = NULL
    FROM claimed WHERE delivery.id = :delivery_id AND (status = 'PENDING' OR held_at IS NOT NULL)
), moved AS (
  UPDATE notification SET revision = revision + 1 FROM claimed WHERE notification.id = :id
), under_way AS (
  UPDATE queue_entry q SET state = 'started', claimed_by = NULL, queued_provider = NULL, queued_at = NULL,
         started_at = COALESCE(q.started_at, now()), waits_for = NULL, awaited_provider = NULL, waits_until = NULL,
         recipient_id = NULL, next_at = now() + interval '1 minute' FROM claimed
   WHERE q.notification_id = :id AND q.generation = :generation AND (q.claimed_by IS NOT NULL
          OR q.queued_provider IS NOT NULL OR q.state = 'due'
        OR (q.state = 'waiting' AND COALESCE(q.waits_until, now()) <= now()))
)
SELECT ledger.*, target.recipient_id, target.type_id, target.spec, target.contact, target.global_channel_opt_in,
       target.type_channel_preferences, target.quiet_hours, target.timezone, target.phone_regions,
       target.email_domains, target.email_sender, target.email_reply_to, target.email_options,
       claimed.id IS NOT NULL AS is_new, claimed.started_at AS claimed_at, target.predates_restore,
       target.revision AS locked_revision,
       clock_timestamp() AS now, target.created_at, target.send_at, target.priority, target.tags, d.rendered_content,
       (SELECT jsonb_build_object('kind', v.kind, 'device', v.device, 'address', v.address, 'locale', v.locale)
          FROM device v
         WHERE v.tenant = target.tenant AND v.recipient_id = target.recipient_id AND v.id::text = :endpoint_id) AS device,
       (SELECT c.chat_url FROM chat_room c
         WHERE d.channel = 'chat' AND c.tenant = target.tenant AND c.name = target.spec->'chat'->>'room') AS room_url,
       gates.hold, gates.suppressed,
       (ledger.row_version <> target.n_version OR before.xmin <> target.p_version
        OR clock_timestamp() - now() > interval '50 milliseconds') AS moved,
       (SELECT jsonb_agg(jsonb_build_array(l.provider, l.rate, l.tenant_rate)) FROM provider_limit l) AS limits,
       earlier.started_at,
       earlier.address_hash IS NOT DISTINCT FROM target.address_hashes->>CAST(:contact AS text) AS same_address
  FROM target
  JOIN notification_ledger ledger ON ledger.id = target.id
  JOIN user_preference before ON before.tenant = target.tenant AND before.user_id = target.recipient_id
  JOIN delivery d ON d.id = :delivery_id AND d.notification_id = target.id
 CROSS JOIN LATERAL attempt_gates(
         target.tenant, target.notification_type, d.channel, :provider, target.address_hashes) gates
  LEFT JOIN claimed ON true
  LEFT JOIN attempt earlier ON earlier.id = :attempt_id
