SELECT id, provider, provider_message_id, from_number, to_number, text, keyword, recipient_ids, received_at, answered_at
  FROM inbound_message
 WHERE tenant = :tenant AND (CAST(:before AS uuid) IS NULL OR id < :before)
   AND (CAST(:recipient_id AS text) IS NULL OR recipient_ids @> ARRAY[CAST(:recipient_id AS text)])
 ORDER BY id DESC LIMIT :limit
