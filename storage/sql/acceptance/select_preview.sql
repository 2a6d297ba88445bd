WITH item AS (
  SELECT * FROM jsonb_to_record(CAST(:item AS jsonb)) AS x(
    id uuid, recipient_id text, profile jsonb, type_id uuid, event_payload jsonb, priority int, channels text[],
    send_at timestamptz, expires_in float8)
), recipient AS (
  SELECT CAST(:tenant AS uuid) AS tenant, item.recipient_id,
         COALESCE(r.contact, '{}') || COALESCE(profile->'contact', '{}') AS contact,
         COALESCE(r.address_hashes, '{}') || COALESCE(profile->'address_hashes', '{}') AS address_hashes,
         COALESCE(profile->>'locale', r.locale) AS locale, COALESCE(profile->>'timezone', r.timezone) AS timezone,
         COALESCE(r.attributes, '{}') || COALESCE(profile->'attributes', '{}') AS attributes
    FROM item LEFT JOIN recipient r ON r.tenant = :tenant AND r.recipient_id = item.recipient_id
   WHERE r.recipient_id IS NOT NULL OR profile IS NOT NULL
)
SELECT item.id, item.type_id, clock_timestamp() AS created_at, item.event_payload, item.recipient_id, r.locale,
       r.timezone AS own_timezone, r.attributes, t.default_language, false AS digest, 'PENDING' AS status,
       NULL AS failure_reason, 1 AS generation, NULL AS finished_at, item.priority, item.channels, NULL AS waits_for,
       false AS collected, r.contact, COALESCE(r.timezone, t.timezone) AS timezone, t.frequency_cap, t.phone_regions,
       p.global_channel_opt_in, p.type_channel_preferences, p.quiet_hours, clock_timestamp() AS now,
       (SELECT jsonb_agg(jsonb_build_array(l.provider, l.rate, l.tenant_rate)) FROM provider_limit l) AS limits,
       (SELECT jsonb_object_agg(v.id, v.locale) FROM device v
         WHERE v.tenant = t.id AND v.recipient_id = item.recipient_id AND v.locale IS NOT NULL) AS device_locales,
       destinations.devices, destinations.suppressed, NULL AS attempts,
       CASE WHEN item.expires_in IS NOT NULL
            THEN least(COALESCE(item.send_at, now()) + item.expires_in * interval '1 second', '9999-12-31Z')
       END AS expires_at,
       EXISTS (SELECT 1 FROM recipient) AS known_recipient,
       item.profile->'attributes' IS NOT NULL
       AND COALESCE((SELECT (octet_length(attributes::text) > 65536 OR
  (SELECT count(*) FROM jsonb_path_query(attributes, 'strict $.**')) > 5000) FROM recipient), false) AS too_large
  FROM item
  JOIN tenant t ON t.id = :tenant
  LEFT JOIN recipient r ON NOT EXISTS (SELECT 1 FROM erasure g WHERE g.tenant = r.tenant
                                          AND g.recipient_id = r.recipient_id
                                          AND g.finished_at IS NULL AND g.erased_at IS NULL)
  LEFT JOIN user_preference p ON p.tenant = t.id AND p.user_id = item.recipient_id
 CROSS JOIN LATERAL recipient_destinations(t.id, item.recipient_id, r.address_hashes) destinations
