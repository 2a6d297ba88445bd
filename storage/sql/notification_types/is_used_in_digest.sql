SELECT EXISTS (
  SELECT 1 FROM notification_type t
   WHERE t.tenant = :tenant AND t.retired_at IS NULL AND t.spec ? 'digest'
     AND EXISTS (SELECT 1 FROM jsonb_each_text(t.spec->'templates') used WHERE used.value = :template)
     AND NOT EXISTS (SELECT 1 FROM notification_type newer
                      WHERE newer.tenant = t.tenant AND newer.key = t.key AND newer.version > t.version))
