WITH chosen AS (
  SELECT id, occurred_at FROM event_message
   WHERE endpoint_id = :endpoint_id AND next_attempt_at IS NULL AND kind <> :test
     AND (given_up_at IS NOT NULL OR CAST(:all AS bool))
     AND occurred_at >= :since AND occurred_at < COALESCE(CAST(:until AS timestamptz), 'infinity')
   ORDER BY occurred_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
), line AS (
  SELECT id, occurred_at, row_number() OVER (ORDER BY occurred_at, id) AS place FROM chosen
), earlier AS (
  SELECT max(next_attempt_at) AS last FROM event_message
   WHERE endpoint_id = :endpoint_id AND next_attempt_at IS NOT NULL AND replayed_at IS NOT NULL AND attempt_count = 0
), replayed AS (
  UPDATE event_message m SET attempt_count = 0, given_up_at = NULL, replayed_at = now(),
         next_attempt_at = greatest(now(),
                earlier.last + interval '1 second' / 20) + (line.place - 1) * interval '1 second' / 20
    FROM line, earlier WHERE m.id = line.id RETURNING line.occurred_at
)
SELECT count(*), max(occurred_at) FROM replayed
