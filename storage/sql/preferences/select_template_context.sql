SELECT n.type_id, n.created_at, n.event_payload, n.recipient_id, r.locale, r.timezone AS own_timezone, r.attributes,
       t.default_language, n.digest_id IS NOT NULL AND n.digest_key IS NULL AS digest
  FROM notification n
  JOIN tenant t ON t.id = n.tenant
  LEFT JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id
 WHERE n.id = :id AND n.tenant = :tenant
