SELECT c.data FROM attachment a JOIN attachment_chunk c USING (tenant, sha256)
 WHERE a.tenant = :tenant AND a.id = :id ORDER BY c.position
