UPDATE receipt r SET raw = '{}' FROM attempt a
 WHERE a.notification_id = ANY(:ids) AND r.raw <> '{}' AND (r.attempt_id = a.id
       OR (r.provider = a.provider AND r.provider_message_id = a.provider_message_id))
