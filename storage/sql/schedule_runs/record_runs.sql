WITH recorded AS (
  INSERT INTO schedule_run AS run (id, schedule_id, tenant, kind, due_at, ran_at, accepted, skipped_recipients,
         skip_reason, finished_at)
  SELECT id, schedule_id, tenant, kind, due_at, now(), accepted, skipped_recipients, skip_reason,
         CASE WHEN is_finished THEN now() END
    FROM jsonb_to_recordset(CAST(:runs AS jsonb)) AS x(id uuid, schedule_id uuid, tenant uuid, kind text,
         due_at timestamptz, accepted int, skipped_recipients jsonb, skip_reason text, is_finished bool) ORDER BY id
  ON CONFLICT (id) DO UPDATE SET accepted = run.accepted + EXCLUDED.accepted,
         skipped_recipients = (
           SELECT COALESCE(jsonb_object_agg(reason, recipients), '{}') FROM (
             SELECT reason, sum(CAST(recipients AS int)) AS recipients FROM (
               SELECT * FROM jsonb_each_text(run.skipped_recipients) UNION ALL
               SELECT * FROM jsonb_each_text(EXCLUDED.skipped_recipients)) both_sides(reason, recipients)
              GROUP BY reason) summed)
  RETURNING run.id, run.finished_at
)
SELECT id, CASE WHEN finished_at IS NULL THEN pg_notify(:channel, :due)::text END FROM recorded
