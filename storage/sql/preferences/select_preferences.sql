SELECT global_channel_opt_in, type_channel_preferences, quiet_hours, updated_at FROM user_preference
 WHERE tenant = :tenant AND user_id = :recipient_id
