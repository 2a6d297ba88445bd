WITH open AS (
  SELECT id, tenant, generation, revision FROM notification
   WHERE id = :id AND tenant = :tenant AND generation = :generation AND finished_at IS NULL
     AND cancel_requested_at IS NULL
     FOR UPDATE
), moved AS (
  UPDATE notification n SET revision = n.revision + 1 FROM open WHERE n.id = open.id AND open.revision > 0
), queued AS (
  UPDATE queue_entry q SET state = 'started', claimed_by = NULL, started_at = COALESCE(q.started_at, now()),
         waits_for = NULL, awaited_provider = NULL, waits_until = NULL, recipient_id = NULL,
         queued_provider = :queued_provider, queued_at = now(), next_at = now() + interval '1 minute'
    FROM open
   WHERE CAST(:queued_provider AS text) IS NOT NULL AND q.notification_id = open.id AND q.generation = open.generation
     AND (q.claimed_by IS NOT NULL OR q.queued_provider IS NOT NULL OR q.state = 'due'
        OR (q.state = 'waiting' AND COALESCE(q.waits_until, now()) <= now()))
), item AS (
  SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS x(
    id uuid, event_id uuid, step int, channel text, rule text, is_skipped_by_rule bool, template_id uuid,
    template_name text,
    template_version int, language text, rendered_content jsonb, status text, failure_reason text,
    failure_args jsonb, kind text,
    category text, room text, devices int, devices_skipped int, devices_event_id uuid, calls_limited bool, calls_event_id uuid)
), deliveries AS (
  INSERT INTO delivery (id, tenant, notification_id, generation, step, channel, rule, is_skipped_by_rule, template_id,
         template_name, template_version, language, rendered_content, status, failure_reason, failure_args,
         created_at)
  SELECT item.id, open.tenant, open.id, open.generation, step, channel, rule, is_skipped_by_rule, template_id,
         template_name,
         template_version, language, rendered_content, status, failure_reason, failure_args, clock_timestamp()
    FROM item, open
  ON CONFLICT (id) DO NOTHING RETURNING id
), timeline AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id, delivery_status)
  SELECT item.event_id, open.tenant, open.id, clock_timestamp(), kind, channel, failure_reason,
         jsonb_strip_nulls(jsonb_build_object('rule', rule, 'template', template_name, 'version', template_version,
                                              'language', language, 'category', category, 'room', room))
           || COALESCE(failure_args, '{}'), item.id, status
    FROM item JOIN deliveries USING (id), open
   WHERE kind IS NOT NULL
  ON CONFLICT (id) DO NOTHING
), too_many AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
  SELECT item.devices_event_id, open.tenant, open.id, clock_timestamp(), 'devices_skipped', channel,
         'too_many_devices', jsonb_build_object('used', devices, 'skipped', devices_skipped), item.id
    FROM item JOIN deliveries USING (id), open
   WHERE devices_skipped > 0
  ON CONFLICT (id) DO NOTHING
), waiting AS (
  INSERT INTO event (id, tenant, notification_id, at, kind, channel, detail, delivery_id)
  SELECT item.calls_event_id, open.tenant, open.id, clock_timestamp(), 'calls_limited', channel,
         jsonb_build_object('devices', devices, 'limit', CAST(:max_calls AS int)), item.id
    FROM item JOIN deliveries USING (id), open
   WHERE calls_limited
  ON CONFLICT (id) DO NOTHING
)
SELECT count(*) FROM open
