SELECT m.id, m.tenant, m.channel, m.recipient_id, m.notification_id, COALESCE(d.generation, 1) AS generation,
       m.address, m.content, m.email_options AS email, m.accepted_at
  FROM (
    SELECT id, tenant, channel, recipient_id, notification_id, delivery_id, address, content, email_options,
           accepted_at
      FROM sandbox_message
    UNION ALL
    SELECT id, tenant, 'in_app', recipient_id, notification_id, id, '{}', content, NULL, created_at FROM inbox_message
  ) m LEFT JOIN delivery d ON d.id = m.delivery_id AND d.tenant = m.tenant
 WHERE (CAST(:tenant AS uuid) IS NULL OR m.tenant = :tenant)
   AND (CAST(:recipient_id AS text) IS NULL OR m.recipient_id = :recipient_id)
   AND (CAST(:channel AS text) IS NULL OR m.channel = :channel)
   AND (CAST(:at AS timestamptz) IS NULL OR (m.accepted_at, m.id) < (:at, CAST(:id AS uuid)))
 ORDER BY m.accepted_at DESC, m.id DESC LIMIT :limit
