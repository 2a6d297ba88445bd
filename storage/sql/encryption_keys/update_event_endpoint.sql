-- Rows are locked in the order in which others lock several. A row that has changed since it was read is left.
WITH item AS (
  SELECT given.* FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS given(key uuid, o jsonb, n jsonb)
    JOIN event_endpoint t ON t.id = given.key
   WHERE jsonb_build_object('url', t.url, 'secret', t.secret, 'previous_secret', t.previous_secret) = given.o
   ORDER BY t.id FOR NO KEY UPDATE OF t
)
UPDATE event_endpoint t
   SET url = item.n->>'url', secret = item.n->>'secret', previous_secret = item.n->>'previous_secret'
  FROM item WHERE t.id = item.key
   AND jsonb_build_object('url', t.url, 'secret', t.secret, 'previous_secret', t.previous_secret) = item.o
