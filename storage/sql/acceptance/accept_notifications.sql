WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS x(
    id uuid, recipient_id text, profile jsonb, notification_type text, type_id uuid, event_payload jsonb,
    priority int, channels text[], tags text[], idempotency_key text, idempotency_hash text,
    send_at timestamptz, expires_in float8, digest_key text, digest_id uuid, schedule_id uuid,
    cancel_key text, email_options jsonb)
), profile AS (
  INSERT INTO recipient AS r (tenant, recipient_id, contact, address_hashes, locale, timezone, attributes, created_at,
         updated_at)
  SELECT DISTINCT ON (recipient_id) CAST(:tenant AS uuid), recipient_id, COALESCE(profile->'contact', '{}'),
         COALESCE(profile->'address_hashes', '{}'), profile->>'locale', profile->>'timezone',
         COALESCE(profile->'attributes', '{}'), now(), now()
    FROM item WHERE profile IS NOT NULL ORDER BY recipient_id, id DESC
  ON CONFLICT (tenant, recipient_id) DO UPDATE SET contact = r.contact || EXCLUDED.contact,
         address_hashes = r.address_hashes || EXCLUDED.address_hashes,
         locale = COALESCE(EXCLUDED.locale, r.locale), timezone = COALESCE(EXCLUDED.timezone, r.timezone),
         attributes = r.attributes || EXCLUDED.attributes, updated_at = now()
  RETURNING r.recipient_id, (octet_length(attributes::text) > 65536 OR
  (SELECT count(*) FROM jsonb_path_query(attributes, 'strict $.**')) > 5000) AS too_large
), preference AS (
  INSERT INTO user_preference (tenant, user_id, global_channel_opt_in, type_channel_preferences, updated_at)
  SELECT :tenant, recipient_id, '{}', '{}', now() FROM profile
  ON CONFLICT DO NOTHING
), known_recipients AS (
  SELECT r.recipient_id FROM recipient r
   WHERE r.tenant = :tenant AND r.recipient_id IN (SELECT recipient_id FROM item) FOR KEY SHARE
), known AS (
  SELECT recipient_id FROM profile UNION SELECT recipient_id FROM known_recipients
), accepted AS (
  INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority,
         channels, tags, idempotency_key, idempotency_hash, holds_idempotency_key, created_at, send_at, expires_at,
         generation, revision, digest_key, digest_id, schedule_id, cancel_key, email_options)
  SELECT id, :tenant, recipient_id, notification_type, type_id, event_payload, 'PENDING', priority, channels, tags,
         idempotency_key, idempotency_hash, idempotency_key IS NOT NULL, now(), send_at,
         CASE WHEN expires_in IS NOT NULL
     THEN least(COALESCE(send_at, now()) + expires_in * interval '1 second', '9999-12-31Z') END, 1, 0,
         digest_key, digest_id, schedule_id, cancel_key, email_options
    FROM item JOIN known USING (recipient_id) ORDER BY idempotency_key, id
  ON CONFLICT DO NOTHING
  RETURNING id, generation, notification_type, priority, created_at, send_at, expires_at, digest_key
), queued AS (
  INSERT INTO queue_entry (notification_id, generation, tenant, priority, lane, state, next_at)
  SELECT id, generation, :tenant, priority, hashtext(notification_type),
         CASE WHEN digest_key IS NULL THEN 'due' ELSE 'collecting' END,
         CASE WHEN digest_key IS NULL THEN created_at ELSE greatest(send_at, created_at) END FROM accepted
), timeline AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, status)
  SELECT id, :tenant, id, created_at, 'accepted', 'PENDING' FROM accepted
)
SELECT item.id, item.recipient_id, profile.too_large,
       known.recipient_id IS NOT NULL AS known_recipient, accepted.created_at, accepted.expires_at,
       CASE WHEN :notify AND accepted.id IS NOT NULL
            THEN pg_notify(:channel, CASE WHEN item.digest_key IS NULL THEN :queue_due
                                          ELSE :collect_due END)::text END
  FROM item LEFT JOIN known USING (recipient_id) LEFT JOIN accepted ON accepted.id = item.id
       LEFT JOIN profile ON profile.recipient_id = item.recipient_id
