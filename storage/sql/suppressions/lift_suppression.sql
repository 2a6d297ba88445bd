UPDATE suppression s SET lifted_at = now() WHERE tenant = :tenant AND id = :id AND s.lifted_at IS NULL
       AND (s.expires_at IS NULL OR s.expires_at > now()) RETURNING id
