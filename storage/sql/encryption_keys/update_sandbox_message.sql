-- Rows are locked in the order in which others lock several. A row that has changed since it was read is left.
WITH item AS (
  SELECT given.* FROM jsonb_to_recordset(CAST(:items AS jsonb))
           AS given(key uuid, subkey text, o jsonb, n jsonb, address_hash text)
    JOIN sandbox_message t ON t.id = given.key WHERE t.address = given.o ORDER BY t.id FOR NO KEY UPDATE OF t
)
UPDATE sandbox_message t SET address = item.n
  FROM item WHERE t.id = item.key AND t.address = item.o
