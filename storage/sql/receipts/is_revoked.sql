-- If both events have the same second, the opt-out counts. A receipt without our reference names its attempt by the
-- vendor's id.
SELECT EXISTS (
  SELECT 1 FROM attempt mine
    JOIN receipt r ON r.provider = mine.provider AND r.reason = :reason
     AND r.kind IN ('unsubscribed', 'resubscribed') AND r.kind <> :kind AND r.occurred_at >= :at
     AND (r.occurred_at > :at OR CAST(:kind AS text) = 'resubscribed')
    JOIN attempt other ON other.tenant = mine.tenant AND other.address_hash = mine.address_hash
     AND other.id = COALESCE(r.attempt_id, (
       SELECT named.id FROM attempt named
        WHERE named.tenant = mine.tenant AND named.provider = r.provider
          AND named.provider_message_id = r.provider_message_id
        ORDER BY named.started_at LIMIT 1))
   WHERE mine.id = :attempt_id AND mine.tenant = :tenant)
