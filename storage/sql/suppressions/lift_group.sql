UPDATE suppression s SET lifted_at = now() FROM attempt a JOIN delivery d ON d.id = a.delivery_id
 WHERE a.id = :attempt_id AND a.tenant = :tenant AND s.tenant = a.tenant AND s.channel = d.channel
   AND s.address_hash = a.address_hash AND s.lifted_at IS NULL AND s.reason = :reason AND s.source = :source
