SELECT id, name, content_type, size, sha256, created_at, last_used_at
  FROM attachment WHERE tenant = :tenant AND id = ANY(:ids)
