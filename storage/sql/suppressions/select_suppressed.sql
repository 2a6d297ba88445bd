SELECT address_hash FROM suppression
 WHERE tenant = :tenant AND channel = :channel AND address_hash = ANY(:hashes) AND lifted_at IS NULL
   AND (expires_at IS NULL OR expires_at > now())
