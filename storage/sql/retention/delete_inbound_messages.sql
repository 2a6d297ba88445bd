WITH old AS (
  SELECT id FROM inbound_message WHERE tenant = :tenant AND id < :before ORDER BY id LIMIT :limit
), events AS (
  DELETE FROM event_message m USING old, event_endpoint p
   WHERE p.tenant = :tenant AND m.id = event_message_id(old.id, p.id)
), deleted AS (
  DELETE FROM inbound_message m USING old WHERE m.id = old.id RETURNING 1
)
SELECT count(*) FROM deleted
