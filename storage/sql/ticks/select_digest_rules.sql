SELECT DISTINCT t.spec -> 'digest' ->> 'schedule' FROM notification_type t
 WHERE t.tenant = :tenant AND t.key = :type AND t.spec -> 'digest' ->> 'schedule' IS NOT NULL
   AND (EXISTS (SELECT 1 FROM digest d WHERE d.type_id = t.id AND d.tenant = t.tenant AND d.closed_at IS NULL
                 AND d.closes_on_schedule)
        OR (t.retired_at IS NULL AND NOT EXISTS (
          SELECT 1 FROM notification_type newer WHERE newer.tenant = t.tenant AND newer.key = t.key
             AND newer.version > t.version)))
