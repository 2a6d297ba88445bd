-- The keys of secrets in rows written by transactions that began after `since` or were running then. A scan that reads
-- no secrets of other rows. An old row is frozen, and its age the greatest.
SELECT DISTINCT substring(m.value #>> '{}' FROM '^enc:([^:]+):') AS key_id
  FROM (SELECT xmin AS version, address AS document FROM device
         UNION ALL
        SELECT xmin, contact FROM recipient
         UNION ALL
        SELECT xmin, jsonb_build_object('url', url, 'secret', secret, 'previous_secret', previous_secret)
          FROM event_endpoint
         UNION ALL
        SELECT xmin, address FROM sandbox_message
         UNION ALL
        SELECT xmin, jsonb_build_object('chat_url', chat_url) FROM chat_room) changed
 CROSS JOIN LATERAL jsonb_each(changed.document) m
 WHERE age(changed.version) <= age(CAST(CAST(:since AS text) AS xid))
   AND m.key = ANY(:secret_names) AND m.value NOT IN ('null', '""')
