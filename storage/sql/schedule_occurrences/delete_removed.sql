DELETE FROM schedule_occurrence t WHERE t.schedule_id = :id AND t.recipient_id = ANY(:batch)
   AND NOT (:is_shared AND t.recipient_id = '')
   AND NOT EXISTS (SELECT 1 FROM recipient r WHERE r.tenant = :tenant AND r.recipient_id = ANY(:recipient_ids)
                      AND r.recipient_id = t.recipient_id)
   AND NOT EXISTS (SELECT 1 FROM topic_subscriber b WHERE b.tenant = :tenant AND b.topic = :topic
                      AND b.recipient_id = t.recipient_id)
