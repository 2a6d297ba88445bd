-- Many recipients are in few time zones, and most had their last occurrence at the same time.
SELECT DISTINCT zone, last_local_time FROM (
  SELECT t.timezone, t.due_at, t.last_local_time,
         CASE WHEN t.recipient_id = '' THEN s.spec ->> 'timezone' ELSE COALESCE(r.timezone, n.timezone) END AS zone
    FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id JOIN tenant n ON n.id = t.tenant
    LEFT JOIN recipient r ON r.tenant = t.tenant AND r.recipient_id = t.recipient_id
   WHERE t.schedule_id = :id AND t.recipient_id = ANY(:recipient_ids)) chosen
 WHERE :scope = 'all' OR (:scope = 'new' AND timezone = '')
    OR (:scope = 'moved' AND timezone <> zone AND (due_at > now() OR due_at IS NULL))
