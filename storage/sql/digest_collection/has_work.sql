SELECT EXISTS (SELECT 1 FROM queue_entry q WHERE q.state = 'collecting' AND q.next_at <= now())
    OR EXISTS (SELECT 1 FROM digest WHERE closed_at IS NULL AND is_full)
