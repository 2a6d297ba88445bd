WITH deleted AS (
  DELETE FROM device WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING id
)
SELECT count(DISTINCT deleted) FROM deleted
