UPDATE attachment SET last_used_at = :at, checked_use = NULL
 WHERE tenant = :tenant AND sha256 = :sha256 AND name = :name AND content_type = :content_type
RETURNING id, name, content_type, size, sha256, created_at, last_used_at
