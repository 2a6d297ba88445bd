WITH part AS (
  SELECT notification_id, generation, key FROM throttle_queue_entry
   WHERE notification_id > :after ORDER BY notification_id LIMIT :limit
), deleted AS (
  DELETE FROM throttle_queue_entry t USING part, notification n
   WHERE t.notification_id = part.notification_id AND t.generation = part.generation AND t.key = part.key
     AND n.id = t.notification_id AND (n.finished_at IS NOT NULL OR n.generation <> t.generation)
  RETURNING 1
)
SELECT (SELECT count(*) FROM part) AS looked_at, (SELECT count(*) FROM deleted) AS pruned,
       (SELECT notification_id FROM part ORDER BY notification_id DESC LIMIT 1) AS last
