SELECT id, recipient_id, device, kind, address, locale, created_at, updated_at FROM device WHERE tenant = :tenant
       AND recipient_id = :recipient_id ORDER BY id
