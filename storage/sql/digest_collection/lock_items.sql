-- `next_at` is when the item was accepted or is to be sent, or when a gate has handed it over. Such an item has a
-- revision above 0.
SELECT n.tenant, n.digest_key, n.id, n.notification_type, n.type_id, n.recipient_id,
       greatest(n.created_at, n.send_at, q.next_at) AS at, octet_length(n.event_payload::text) AS bytes,
       COALESCE(r.timezone, t.timezone) AS zone, n.revision > 0 AS is_handed_over
  FROM notification n
  JOIN queue_entry q ON q.notification_id = n.id AND q.generation = n.generation
  JOIN tenant t ON t.id = n.tenant
  LEFT JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id WHERE n.id = ANY(:ids)
         AND q.state = 'collecting' AND q.next_at <= now() ORDER BY q.next_at, q.notification_id FOR UPDATE OF n,
         q SKIP LOCKED
