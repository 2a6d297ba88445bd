INSERT INTO retention_pass AS p (tenant, content_after, pass_started_at) VALUES (:tenant, :after, now())
ON CONFLICT (tenant) DO UPDATE SET content_after = EXCLUDED.content_after,
       pass_started_at = CASE WHEN p.content_after <= EXCLUDED.content_after THEN p.pass_started_at ELSE now() END
