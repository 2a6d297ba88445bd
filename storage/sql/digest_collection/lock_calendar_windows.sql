SELECT d.id, t.spec->'digest'->>'schedule' AS schedule, COALESCE(r.timezone, o.timezone) AS zone,
       clock_timestamp() AS at
  FROM digest d
  JOIN notification_type t ON t.id = d.type_id
  JOIN tenant o ON o.id = d.tenant
  LEFT JOIN recipient r ON r.tenant = d.tenant AND r.recipient_id = d.recipient_id
 WHERE d.tenant = :tenant AND d.closed_at IS NULL AND d.closes_on_schedule AND d.closes_at > now()
   AND CASE WHEN CAST(:recipient_id AS text) IS NULL THEN r.timezone IS NULL ELSE d.recipient_id = :recipient_id END
   AND d.id > :after ORDER BY d.id LIMIT :limit FOR UPDATE OF d
