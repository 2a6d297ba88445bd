-- Return the devices of a recipient, the one that was registered last first, and why its addresses are suppressed, by
-- channel. Postgres inlines this function: it is one SELECT, and neither volatile nor strict.
CREATE FUNCTION recipient_destinations(of_tenant uuid, of_recipient_id text, of_address_hashes jsonb)
RETURNS TABLE (devices jsonb, suppressed jsonb)
LANGUAGE sql STABLE AS $$
SELECT (SELECT jsonb_agg(jsonb_build_array(d.id, d.kind) ORDER BY d.updated_at DESC, d.id DESC) FROM device d
         WHERE d.tenant = of_tenant AND d.recipient_id = of_recipient_id),
       (SELECT jsonb_object_agg(s.channel, s.reason) FROM suppression s
         WHERE s.lifted_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now()) AND s.tenant = of_tenant
           AND s.channel IN ('email', 'sms')
           AND s.address_hash IN (of_address_hashes->>'email', of_address_hashes->>'phone'))
$$
