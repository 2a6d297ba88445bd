SELECT r.recipient_id, COALESCE(r.timezone, n.timezone) FROM recipient r JOIN tenant n ON n.id = r.tenant
 WHERE r.tenant = :tenant AND r.recipient_id = ANY(:recipient_ids) ORDER BY r.recipient_id FOR NO KEY UPDATE OF r
