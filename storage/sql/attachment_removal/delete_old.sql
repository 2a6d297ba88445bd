-- A file may have millions of uses, so they are read in pages. A use by an open notification keeps the file.
WITH old AS (
  SELECT id, checked_use FROM attachment WHERE tenant = :tenant AND last_used_at < :cutoff
   ORDER BY last_used_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
), checked AS (
  SELECT old.id, page.uses, page.last, page.is_used
    FROM old, LATERAL (
         SELECT count(*) AS uses, (array_agg(one.notification_id ORDER BY one.notification_id DESC))[1] AS last,
                COALESCE(bool_or(one.finished_at IS NULL), false) AS is_used
           FROM (SELECT u.notification_id, n.finished_at
                   FROM attachment_use u JOIN notification n ON n.id = u.notification_id
                  WHERE u.attachment_id = old.id AND u.notification_id > COALESCE(old.checked_use, :first)
                  ORDER BY u.notification_id LIMIT :page) one) page
), renewed AS (
  UPDATE attachment a SET last_used_at = :at, checked_use = NULL FROM checked WHERE a.id = checked.id AND checked.is_used
), advanced AS (
  UPDATE attachment a SET checked_use = checked.last
    FROM checked WHERE a.id = checked.id AND NOT checked.is_used AND checked.uses = :page
), deleted AS (
  DELETE FROM attachment a USING checked WHERE a.id = checked.id AND NOT checked.is_used AND checked.uses < :page
  RETURNING a.sha256
)
SELECT (SELECT count(*) FROM old) AS examined, count(*) AS deleted, COALESCE(array_agg(sha256), '{}') AS hashes
  FROM deleted
