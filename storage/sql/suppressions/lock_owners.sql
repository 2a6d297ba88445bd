SELECT r.tenant, k.key
  FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])) AS k(tenant, key)
  JOIN recipient r ON r.tenant = k.tenant AND r.address_hashes->>'phone' = k.key
 ORDER BY r.tenant, r.recipient_id FOR KEY SHARE OF r
