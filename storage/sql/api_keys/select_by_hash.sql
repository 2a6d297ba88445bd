SELECT k.id, k.tenant, k.name, k.expires_at, k.is_dev, t.default_language, t.phone_regions, t.email_domains,
       CASE WHEN t.is_installation THEN k.scopes ELSE array_remove(k.scopes, 'operate') END AS scopes,
       EXISTS (SELECT 1 FROM hold h WHERE h.tenant = t.id AND h.kind = 'tenant') AS is_suspended
  FROM api_key k JOIN tenant t ON t.id = k.tenant
 WHERE k.hash = :hash AND k.revoked_at IS NULL
