SELECT idempotency_hash, results,
       (SELECT COALESCE(jsonb_object_agg(n.id, n.recipient_id), '{}') FROM notification n
         WHERE n.tenant = multi_send.tenant AND n.id = ANY(ARRAY(
           SELECT CAST(result->>'id' AS uuid) FROM jsonb_array_elements(results) AS result))) AS recipients
  FROM multi_send WHERE tenant = :tenant AND idempotency_key IN (:key, :hashed_key) AND expires_at > now()
