UPDATE schedule SET deleted_at = now(), spec = spec - CAST('{payload,recipients,recipient_id}' AS text[])
 WHERE tenant = :tenant AND key = :key AND deleted_at IS NULL
