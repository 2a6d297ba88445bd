WITH call AS (
  SELECT a.tenant, a.notification_id, a.provider, a.address_hash, d.channel, n.recipient_id
    FROM attempt a JOIN delivery d ON d.id = a.delivery_id JOIN notification n ON n.id = a.notification_id
   WHERE a.id = :attempt_id AND a.tenant = :tenant AND a.address_hash IS NOT NULL
), recipient_row AS (
  SELECT r.contact, r.address_hashes FROM recipient r JOIN call USING (tenant, recipient_id) FOR KEY SHARE OF r
)
SELECT call.channel, call.provider, call.address_hash, recipient_row.contact, recipient_row.address_hashes
  FROM call LEFT JOIN recipient_row ON true
