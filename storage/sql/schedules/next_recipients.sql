(SELECT recipient_id FROM recipient
  WHERE tenant = :tenant AND recipient_id = ANY(:recipient_ids) AND recipient_id > :after
  ORDER BY recipient_id LIMIT :limit)
 UNION
(SELECT recipient_id FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic AND recipient_id > :after
  ORDER BY recipient_id LIMIT :limit)
 UNION
(SELECT recipient_id FROM schedule_occurrence WHERE schedule_id = :id AND recipient_id > :after
  ORDER BY recipient_id LIMIT :limit)
 ORDER BY recipient_id LIMIT :limit
