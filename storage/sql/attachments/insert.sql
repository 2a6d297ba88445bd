INSERT INTO attachment (id, tenant, name, content_type, size, sha256, created_at, last_used_at)
VALUES (:id, :tenant, :name, :content_type, :size, :sha256, :at, :at)
RETURNING id, name, content_type, size, sha256, created_at, last_used_at
