WITH named AS (
  SELECT id FROM digest WHERE tenant = :tenant AND recipient_id = :recipient_id ORDER BY id LIMIT CAST(:limit AS int)
     FOR NO KEY UPDATE
)
UPDATE digest d SET recipient_id = :replacement_id FROM named WHERE d.id = named.id
