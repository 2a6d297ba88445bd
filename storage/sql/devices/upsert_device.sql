INSERT INTO device (id, tenant, recipient_id, device, kind, address, address_hash, locale, created_at,
       updated_at)
VALUES (:id, :tenant, :recipient_id, :device, :kind, CAST(:address AS jsonb), :address_hash, :locale, now(), now())
ON CONFLICT (tenant, recipient_id, device) DO UPDATE SET kind = EXCLUDED.kind, address = EXCLUDED.address,
       address_hash = EXCLUDED.address_hash, locale = EXCLUDED.locale, updated_at = now()
RETURNING id, recipient_id, device, kind, address, locale, created_at, updated_at, xmax = 0 AS created
