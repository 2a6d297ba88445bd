SELECT id, kind, name, reason, created_at AS since, created_by AS by FROM hold
 WHERE (tenant = :tenant OR tenant IS NULL) AND kind <> 'tenant'
 AND (kind <> 'type' OR name = :notification_type) ORDER BY id
