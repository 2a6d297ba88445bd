-- Rows are locked in the order in which others lock several. A row that has changed since it was read is left.
WITH item AS (
  SELECT given.* FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS given(key uuid, subkey text, o jsonb, n jsonb)
    JOIN chat_room t ON (t.tenant, t.name) = (given.key, given.subkey)
   WHERE jsonb_build_object('chat_url', t.chat_url) = given.o ORDER BY t.tenant, t.name FOR NO KEY UPDATE OF t
)
UPDATE chat_room t SET chat_url = item.n->>'chat_url'
  FROM item WHERE (t.tenant, t.name) = (item.key, item.subkey)
   AND jsonb_build_object('chat_url', t.chat_url) = item.o
