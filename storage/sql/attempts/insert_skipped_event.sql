INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
VALUES (:event_id, :tenant, :notification_id, now(), 'device_skipped', :channel, :reason,
        jsonb_build_object('device', CAST(:device AS text)), :delivery_id)
ON CONFLICT (id) DO NOTHING
