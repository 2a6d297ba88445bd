UPDATE schedule_run run SET accepted = accepted + :accepted, after = :after,
       skipped_recipients = (
         SELECT COALESCE(jsonb_object_agg(reason, recipients), '{}') FROM (
           SELECT reason, sum(CAST(recipients AS int)) AS recipients FROM (
             SELECT * FROM jsonb_each_text(run.skipped_recipients) UNION ALL
             SELECT * FROM jsonb_each_text(CAST(:skipped_recipients AS jsonb))) both_sides(reason, recipients)
            GROUP BY reason) summed)
 WHERE id = :id
