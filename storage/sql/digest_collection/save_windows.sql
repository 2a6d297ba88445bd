WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:windows AS jsonb)) AS x(
    id uuid, tenant uuid, notification_type text, type_id uuid, recipient_id text, digest_key text,
    closes_on_schedule bool, is_full bool, item_count int, item_bytes int, opened_at timestamptz,
    closes_at timestamptz, closes_by timestamptz)
)
INSERT INTO digest AS d (id, tenant, notification_type, type_id, recipient_id, digest_key, closes_on_schedule,
       is_full,
       item_count, item_bytes, opened_at, closes_at, closes_by, signaled_at)
SELECT id, tenant, notification_type, type_id, recipient_id, digest_key, closes_on_schedule, is_full,
       item_count, item_bytes, opened_at,
       closes_at, closes_by, CASE WHEN closes_on_schedule OR is_full THEN now() END FROM item
ON CONFLICT (id) DO UPDATE SET type_id = EXCLUDED.type_id, item_count = EXCLUDED.item_count,
       item_bytes = EXCLUDED.item_bytes, closes_at = EXCLUDED.closes_at, is_full = EXCLUDED.is_full,
       signaled_at = COALESCE(d.signaled_at, EXCLUDED.signaled_at)
RETURNING pg_notify(:channel, :due)::text
