WITH deleted AS (
  DELETE FROM recipient WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING recipient_id
)
SELECT count(DISTINCT deleted) FROM deleted
