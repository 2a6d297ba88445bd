SELECT count(*) FROM queue_entry WHERE notification_id = ANY(:ids) AND started_at IS NULL
       AND state IN ('due', 'claimed', 'waiting')
