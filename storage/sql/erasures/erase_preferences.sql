WITH deleted AS (
  DELETE FROM user_preference WHERE tenant = :tenant AND user_id = :recipient_id RETURNING user_id
)
SELECT count(DISTINCT deleted) FROM deleted
