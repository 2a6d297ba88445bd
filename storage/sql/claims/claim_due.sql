SELECT claimed.*, set_config('synchronous_commit', 'off', true), COALESCE(send_at > now(),
       false) AS waits_for_send_at,
       COALESCE(id < (SELECT restored_before FROM engine_state WHERE engine_state.id = 1), false) AS predates_restore,
       (SELECT jsonb_build_array(owner.key, jsonb_path_query_array(t.spec, '$.route[*].channels'), n.channels,
               (SELECT key FROM schedule WHERE schedule.id = n.schedule_id))
          FROM notification n JOIN tenant owner ON owner.id = n.tenant JOIN notification_type t ON t.id = n.type_id
         WHERE n.id = claimed.id AND NOT claimed.has_workflow) AS labels
  FROM claim_due(:process, :slots, :reserved, :batch_size, now() - CAST(:look_back AS interval), :lease) claimed
