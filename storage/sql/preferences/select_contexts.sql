-- Nothing is sent during an erasure in batches. The condition on `erasure` is that of an index.
SELECT n.id, n.type_id, n.created_at, n.event_payload, n.recipient_id, r.locale, r.timezone AS own_timezone,
       r.attributes, t.default_language, n.digest_id IS NOT NULL AND n.digest_key IS NULL AS digest, n.status,
       n.failure_reason, n.generation, n.finished_at, n.priority, n.channels,
       (SELECT q.waits_for FROM queue_entry q
         WHERE q.notification_id = n.id AND q.generation = n.generation) AS waits_for,
       n.digest_key IS NOT NULL AS collected, r.contact,
       COALESCE(r.timezone, t.timezone) AS timezone, t.frequency_cap, t.phone_regions, p.global_channel_opt_in,
       p.type_channel_preferences, p.quiet_hours, clock_timestamp() AS now,
       (SELECT jsonb_agg(jsonb_build_array(l.provider, l.rate, l.tenant_rate)) FROM provider_limit l) AS limits,
       (SELECT jsonb_object_agg(v.id, v.locale) FROM device v
         WHERE v.tenant = n.tenant AND v.recipient_id = n.recipient_id AND v.locale IS NOT NULL) AS device_locales,
       destinations.devices, destinations.suppressed,
       (SELECT jsonb_agg(jsonb_build_array(a.delivery_id, a.endpoint_id, a.last, a.unknown))
          FROM (SELECT delivery_id, endpoint_id, max(number) AS last, count(*) FILTER (WHERE state = 'unknown')
                       - ((array_agg(state ORDER BY number DESC))[1] = 'unknown')::int AS unknown FROM attempt
                 WHERE notification_id = n.id GROUP BY delivery_id, endpoint_id) a) AS attempts
  FROM notification n
  JOIN tenant t ON t.id = n.tenant
  LEFT JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id
   AND NOT EXISTS (SELECT 1 FROM erasure g WHERE g.tenant = n.tenant AND g.recipient_id = n.recipient_id
                      AND g.finished_at IS NULL AND g.erased_at IS NULL)
  LEFT JOIN user_preference p ON p.tenant = n.tenant AND p.user_id = n.recipient_id
 CROSS JOIN LATERAL recipient_destinations(n.tenant, n.recipient_id, r.address_hashes) destinations
 WHERE n.id = ANY(:ids) AND n.tenant = :tenant
