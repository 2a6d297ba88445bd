-- Causes in the order of the guard: pauses, circuits, then the throttling of the provider.
SELECT n.id, n.send_at, n.expires_at, n.digest_key IS NOT NULL AS collected, g.closes_at, q.waits_for AS gate,
       q.waits_until AS gate_until, COALESCE(q.state IN ('due', 'claimed'), false) AS is_queued,
       (SELECT jsonb_agg(jsonb_build_object('id', d.id, 'awaited_evidence', d.awaited_evidence, 'sent_at', d.sent_at,
                'within', t.spec -> 'route' -> (d.step - 1) ->> 'within', 'hold',
                       CASE WHEN d.held_at IS NOT NULL THEN jsonb_build_object(
           'paused', EXISTS (SELECT 1 FROM hold h WHERE (h.tenant IS NULL OR h.tenant = n.tenant) AND CASE h.kind
                       WHEN 'tenant' THEN true WHEN 'channel' THEN h.name = d.channel
                       WHEN 'type' THEN h.name = n.notification_type ELSE h.name = ANY(d.held_providers) END),
           'circuit_open', EXISTS (SELECT 1 FROM provider_health p
                                    WHERE p.provider = ANY(d.held_providers) AND p.state <> 'closed'),
           'probe_at', (SELECT min(p.probe_at) FROM provider_health p
                         WHERE p.provider = ANY(d.held_providers) AND p.state = 'open'),
           'throttled_until', (SELECT min(p.throttled_until) FROM provider_health p
                                WHERE p.provider = ANY(d.held_providers))) END, 'calls',
                                       (SELECT jsonb_agg(jsonb_build_object('state', a.state, 'next_at',
                                       a.next_at)) FROM (
           SELECT DISTINCT ON (endpoint_id) state, next_at FROM attempt
            WHERE notification_id = n.id AND delivery_id = d.id ORDER BY endpoint_id, number DESC) a)))
          FROM delivery d
         WHERE d.notification_id = n.id AND d.generation = n.generation
           AND (d.status IN ('PENDING', 'SENDING') OR d.awaited_evidence IS NOT NULL)) AS deliveries
  FROM notification n
  JOIN notification_type t ON t.id = n.type_id
  LEFT JOIN queue_entry q ON q.notification_id = n.id
  LEFT JOIN digest g ON g.id = n.digest_id
 WHERE n.tenant = :tenant AND n.id = ANY(:ids) AND n.finished_at IS NULL
