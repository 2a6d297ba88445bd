-- Only the named table is read. `key_ids` has one element per secret: its key, or NULL if it is not encrypted.
SELECT page.tenant, page.key, page.subkey, page.recipient_id, page.device, secrets.key_ids,
       CASE WHEN :with_documents AND secrets.has_other_keys THEN page.document END AS document
  FROM (
    (SELECT t.tenant, t.id AS key, '' AS subkey, t.recipient_id, t.device, t.address AS document
       FROM device t WHERE :name = 'device' AND t.id > :key ORDER BY t.id LIMIT :limit)
     UNION ALL
    (SELECT t.tenant, t.tenant, t.recipient_id, t.recipient_id, NULL, t.contact
       FROM recipient t WHERE :name = 'recipient' AND (t.tenant, t.recipient_id) > (:key, :subkey)
      ORDER BY t.tenant, t.recipient_id LIMIT :limit)
     UNION ALL
    (SELECT t.tenant, t.id, '', NULL, NULL,
            jsonb_build_object('url', t.url, 'secret', t.secret, 'previous_secret', t.previous_secret)
       FROM event_endpoint t WHERE :name = 'event_endpoint' AND t.id > :key ORDER BY t.id LIMIT :limit)
     UNION ALL
    (SELECT t.tenant, t.id, '', NULL, NULL, t.address
       FROM sandbox_message t WHERE :name = 'sandbox_message' AND t.id > :key ORDER BY t.id LIMIT :limit)
     UNION ALL
    (SELECT t.tenant, t.tenant, t.name, NULL, NULL, jsonb_build_object('chat_url', t.chat_url)
       FROM chat_room t WHERE :name = 'chat_room' AND (t.tenant, t.name) > (:key, :subkey)
      ORDER BY t.tenant, t.name LIMIT :limit)
  ) page
 CROSS JOIN LATERAL (
    SELECT array_agg(key_id) AS key_ids, bool_or(key_id IS DISTINCT FROM :current_key_id) AS has_other_keys FROM (
      SELECT substring(m.value #>> '{}' FROM '^enc:([^:]+):') AS key_id FROM jsonb_each(page.document) m
       WHERE m.key = ANY(:secret_names) AND m.value NOT IN ('null', '""')) members
  ) secrets
 ORDER BY page.key, page.subkey
