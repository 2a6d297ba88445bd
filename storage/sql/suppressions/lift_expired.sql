UPDATE suppression SET lifted_at = expires_at
 WHERE tenant = :tenant AND channel = :channel AND address_hash = :address_hash AND lifted_at IS NULL
   AND expires_at <= now()
