WITH deleted AS (
  DELETE FROM inbox_message WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING id
)
SELECT count(DISTINCT deleted) FROM deleted
