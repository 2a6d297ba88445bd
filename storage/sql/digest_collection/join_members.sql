WITH item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:members AS jsonb)) AS x(id uuid, digest_id uuid, event_id uuid)
), members AS (
  UPDATE notification n SET digest_id = item.digest_id, revision = n.revision + 1
    FROM item WHERE n.id = item.id RETURNING n.id, n.tenant, n.digest_id, item.event_id
), dequeued AS (
  DELETE FROM queue_entry q USING members WHERE q.notification_id = members.id
)
INSERT INTO event (id, tenant, notification_id, at, kind, detail)
SELECT j.event_id, j.tenant, j.id, clock_timestamp(), 'collected',
       jsonb_build_object('digest_id', j.digest_id,
                          'closes_at', to_char(d.closes_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
  FROM members j JOIN digest d ON d.id = j.digest_id
ON CONFLICT (id) DO NOTHING
