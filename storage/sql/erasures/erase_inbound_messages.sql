-- With their events, which quote the messages: also one that waits is not posted.
WITH deleted AS (
  DELETE FROM inbound_message m
   WHERE m.tenant = :tenant
     AND (m.recipient_ids @> ARRAY[CAST(:recipient_id AS text)] OR m.address_hash IN (
          SELECT unnest(former_address_hashes || ARRAY(SELECT value FROM jsonb_each_text(address_hashes)))
            FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id))
  RETURNING m.id
), events AS (
  DELETE FROM event_message m USING deleted, event_endpoint p
   WHERE p.tenant = :tenant AND m.id = event_message_id(deleted.id, p.id)
)
SELECT count(*) FROM deleted
