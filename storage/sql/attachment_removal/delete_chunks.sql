DELETE FROM attachment_chunk c
 WHERE c.tenant = :tenant AND c.sha256 = ANY(:hashes)
   AND NOT EXISTS (SELECT 1 FROM attachment a WHERE a.tenant = c.tenant AND a.sha256 = c.sha256)
