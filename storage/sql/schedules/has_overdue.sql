SELECT EXISTS (SELECT 1 FROM schedule_occurrence
  WHERE schedule_id = :id AND recipient_id = ANY(:batch) AND due_at <= now())
