SELECT id, type_id, opened_at, closes_at, closes_by, item_count, item_bytes, closes_on_schedule FROM digest
 WHERE tenant = :tenant AND digest_key = :group AND closed_at IS NULL AND NOT is_full
        AND closes_at > clock_timestamp()
 ORDER BY closes_at DESC LIMIT 1
