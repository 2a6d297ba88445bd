SELECT t.id, now() AS at, t.content_days, t.record_days,
       CASE WHEN p.pass_started_at > now() - make_interval(secs => :pass_every) THEN p.content_after
       END AS content_after
  FROM tenant t LEFT JOIN retention_pass p ON p.tenant = t.id WHERE t.id > :after ORDER BY t.id LIMIT 1
