SELECT recipient_id FROM topic_subscriber WHERE tenant = :tenant AND topic = :topic AND recipient_id > :after
 ORDER BY recipient_id LIMIT :limit
