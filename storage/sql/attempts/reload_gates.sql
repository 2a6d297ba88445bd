SELECT (SELECT jsonb_build_array(h.id, h.kind, h.name) FROM hold h
         WHERE (h.tenant IS NULL OR h.tenant = n.tenant) AND h.name = CASE h.kind
               WHEN 'provider' THEN :provider WHEN 'channel' THEN d.channel
               WHEN 'tenant' THEN h.name ELSE n.notification_type END
         ORDER BY h.id LIMIT 1) AS hold,
       (SELECT s.reason FROM suppression s WHERE s.lifted_at IS NULL AND (s.expires_at IS NULL
              OR s.expires_at > now()) AND s.tenant = n.tenant
       AND s.channel = d.channel
           AND s.address_hash IN (r.address_hashes->>'email', r.address_hashes->>'phone')
         LIMIT 1) AS suppressed
  FROM notification n JOIN delivery d ON d.id = :delivery_id
  JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id
 WHERE n.id = :id AND n.tenant = :tenant
