-- Return what forbids a call to a provider: the first hold that concerns it, and the reason of a suppression of the
-- recipient's address. Postgres inlines this function: it is one SELECT, and neither volatile nor strict.
CREATE FUNCTION attempt_gates(of_tenant uuid, of_type text, of_channel text, of_provider text, of_address_hashes jsonb)
RETURNS TABLE (hold jsonb, suppressed text)
LANGUAGE sql STABLE AS $$
SELECT (SELECT jsonb_build_array(h.id, h.kind, h.name) FROM hold h
         WHERE (h.tenant IS NULL OR h.tenant = of_tenant) AND h.name = CASE h.kind
               WHEN 'provider' THEN of_provider WHEN 'channel' THEN of_channel
               WHEN 'tenant' THEN h.name ELSE of_type END
         ORDER BY h.id LIMIT 1),
       (SELECT s.reason FROM suppression s
         WHERE s.lifted_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now()) AND s.tenant = of_tenant
           AND s.channel = of_channel AND s.address_hash IN (of_address_hashes->>'email', of_address_hashes->>'phone')
         LIMIT 1)
$$
