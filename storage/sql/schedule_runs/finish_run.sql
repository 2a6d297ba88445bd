UPDATE schedule_run SET finished_at = now(), after = NULL,
       skip_reason = COALESCE(:skip_reason, CASE WHEN accepted = 0 AND skipped_recipients = '{}'
       THEN :no_recipients END) WHERE id = :id
