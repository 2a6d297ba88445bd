UPDATE engine_state SET (namespace_id, seen_at, other_id, other_since, other_seen_at, confirmed_id)
       = (:namespace_id, :seen_at, :other_id, :other_since, :other_seen_at, :confirmed_id) WHERE id = 1
