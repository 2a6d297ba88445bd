-- Notifications of the recipient that a later batch erases keep their attachments until then.
DELETE FROM attachment a
 WHERE a.tenant = :tenant AND a.id = ANY(:ids) AND NOT EXISTS (
       SELECT 1 FROM attachment_use u JOIN notification n ON n.id = u.notification_id
        WHERE u.attachment_id = a.id AND NOT (n.recipient_id = :replacement_id AND n.id <= :until
          AND (CAST(:erased_at AS timestamptz) IS NULL OR n.created_at < :erased_at)))
RETURNING a.sha256
