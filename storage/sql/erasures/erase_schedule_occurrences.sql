WITH deleted AS (
  DELETE FROM schedule_occurrence t USING schedule s WHERE s.id = t.schedule_id AND t.tenant = :tenant
     AND (t.recipient_id = :recipient_id OR s.spec->'recipients' = '[]') RETURNING t.schedule_id
)
SELECT count(DISTINCT deleted) FROM deleted
