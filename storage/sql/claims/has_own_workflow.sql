SELECT count(*) > 0 FROM queue_entry WHERE notification_id = :id AND generation = :generation
       AND started_at IS NOT NULL AND state NOT IN ('collecting', 'canceled')
