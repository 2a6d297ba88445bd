INSERT INTO topic_subscriber (tenant, topic, recipient_id, created_at) VALUES (:tenant, :topic, :recipient_id, now())
ON CONFLICT DO NOTHING
