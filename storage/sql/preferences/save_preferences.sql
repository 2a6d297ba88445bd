UPDATE user_preference SET global_channel_opt_in = CAST(:channels AS jsonb),
       type_channel_preferences = CAST(:types AS jsonb), quiet_hours = CAST(:quiet_hours AS jsonb), updated_at = now()
 WHERE tenant = :tenant AND user_id = :recipient_id
RETURNING global_channel_opt_in, type_channel_preferences, quiet_hours, updated_at
