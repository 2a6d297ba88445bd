DELETE FROM schedule_occurrence t USING schedule s WHERE s.id = t.schedule_id AND s.spec ->> 'topic' = :topic
   AND t.tenant = :tenant AND t.recipient_id = :recipient_id
