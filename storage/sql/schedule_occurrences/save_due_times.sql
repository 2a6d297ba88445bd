WITH chosen AS (
  SELECT t.recipient_id, t.timezone, t.due_at, t.last_local_time,
         CASE WHEN t.recipient_id = '' THEN s.spec ->> 'timezone' ELSE COALESCE(r.timezone, n.timezone) END AS zone
    FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id JOIN tenant n ON n.id = t.tenant
    LEFT JOIN recipient r ON r.tenant = t.tenant AND r.recipient_id = t.recipient_id
   WHERE t.schedule_id = :id AND t.recipient_id = ANY(:recipient_ids)
)
UPDATE schedule_occurrence t SET due_at = x.due_at, timezone = x.zone
  FROM jsonb_to_recordset(CAST(:plans AS jsonb)) AS x(zone text, last_local_time text, due_at timestamptz), chosen c
 WHERE t.schedule_id = :id AND t.recipient_id = c.recipient_id AND x.zone = c.zone
   AND x.last_local_time IS NOT DISTINCT FROM c.last_local_time
   AND (:scope = 'all' OR (:scope = 'new' AND c.timezone = '')
        OR (:scope = 'moved' AND c.timezone <> c.zone AND (c.due_at > now() OR c.due_at IS NULL)))
