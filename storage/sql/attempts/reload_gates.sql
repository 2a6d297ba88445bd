SELECT gates.hold, gates.suppressed
  FROM notification n JOIN delivery d ON d.id = :delivery_id
  JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id
 CROSS JOIN LATERAL attempt_gates(n.tenant, n.notification_type, d.channel, :provider, r.address_hashes) gates
 WHERE n.id = :id AND n.tenant = :tenant
