WITH moved AS (
  UPDATE notification SET digest_key = :group, revision = revision + 1
   WHERE id = :id AND tenant = :tenant AND generation = :generation AND finished_at IS NULL RETURNING id, generation
), collected AS (
  UPDATE queue_entry q SET state = 'collecting', next_at = now(), started_at = NULL, claimed_by = NULL,
         waits_for = NULL, awaited_provider = NULL, waits_until = NULL, recipient_id = NULL
    FROM moved WHERE q.notification_id = moved.id AND q.generation = moved.generation
)
SELECT count(*), max(pg_notify(:channel, :due)::text) FROM moved
