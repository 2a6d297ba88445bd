SELECT DISTINCT recipient_id FROM schedule_occurrence WHERE tenant = :tenant AND recipient_id > :after
 ORDER BY recipient_id LIMIT :limit
