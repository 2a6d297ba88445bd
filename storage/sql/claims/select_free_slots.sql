SELECT CASE WHEN min(queued_at) < now() - interval '30 seconds' THEN CAST(:max_queued_if_stale AS int)
       ELSE CAST(:max_queued AS int) END
       - count(*) FROM (SELECT queued_at FROM queue_entry WHERE queued_provider = :provider LIMIT CAST(:max_queued AS int)) queued
