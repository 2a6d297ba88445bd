-- `used` keeps files that are found from being deleted. An hour's precision of `last_used_at` is enough, so that sends
-- with the same file do not wait for each other. Rows are locked in the order of their ids.
WITH used AS (
  SELECT id FROM attachment WHERE tenant = :tenant AND id = ANY(:attachment_ids) ORDER BY id FOR KEY SHARE
), stale AS (
  SELECT id FROM attachment
   WHERE tenant = :tenant AND id = ANY(:attachment_ids)
     AND last_used_at < CAST(:at AS timestamptz) - make_interval(secs => :precision)
   ORDER BY id FOR NO KEY UPDATE
), renewed AS (
  UPDATE attachment a SET last_used_at = :at, checked_use = NULL FROM stale WHERE a.id = stale.id
), recorded AS (
  INSERT INTO attachment_use (attachment_id, notification_id)
  SELECT given.attachment_id, given.notification_id
    FROM unnest(CAST(:attachment_ids AS uuid[]), CAST(:notification_ids AS uuid[]))
         AS given(attachment_id, notification_id) JOIN used ON used.id = given.attachment_id
  ON CONFLICT DO NOTHING
)
SELECT id FROM used
