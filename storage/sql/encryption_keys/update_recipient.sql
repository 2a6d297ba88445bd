-- Rows are locked in the order in which others lock several. A row that has changed since it was read is left.
WITH item AS (
  SELECT given.* FROM jsonb_to_recordset(CAST(:items AS jsonb))
           AS given(key uuid, subkey text, o jsonb, n jsonb, address_hash text)
    JOIN recipient t ON (t.tenant, t.recipient_id) = (given.key, given.subkey)
   WHERE t.contact = given.o ORDER BY t.tenant, t.recipient_id FOR NO KEY UPDATE OF t
)
UPDATE recipient t SET contact = item.n
  FROM item WHERE (t.tenant, t.recipient_id) = (item.key, item.subkey) AND t.contact = item.o
