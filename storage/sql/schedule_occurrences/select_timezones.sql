SELECT DISTINCT CASE WHEN t.recipient_id = '' THEN s.spec ->> 'timezone' ELSE COALESCE(r.timezone, n.timezone) END
  FROM schedule_occurrence t JOIN schedule s ON s.id = t.schedule_id JOIN tenant n ON n.id = t.tenant
  LEFT JOIN recipient r ON r.tenant = t.tenant AND r.recipient_id = t.recipient_id
 WHERE t.schedule_id = :id
