WITH deleted AS (
  DELETE FROM topic_subscriber WHERE tenant = :tenant AND recipient_id = :recipient_id RETURNING topic
)
SELECT count(DISTINCT deleted) FROM deleted
