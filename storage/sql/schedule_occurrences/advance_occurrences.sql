UPDATE schedule_occurrence t SET due_at = x.due_at, timezone = x.timezone, last_local_time = x.last_local_time
  FROM jsonb_to_recordset(CAST(:turns AS jsonb)) AS x(schedule_id uuid, recipient_id text, due_at timestamptz,
       timezone text, last_local_time text)
 WHERE t.schedule_id = x.schedule_id AND t.recipient_id = x.recipient_id
