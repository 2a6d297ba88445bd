UPDATE provider_health SET state = :state, reason = :reason, penalty = :penalty, open_count = :open_count,
       probes = :probes, changed_at = :changed_at, penalty_updated_at = :penalty_updated_at, probe_at = :probe_at,
       throttled_until = :throttled_until, recent = CAST(:recent AS jsonb),
       credential_failures = CAST(:credential_failures AS jsonb)
 WHERE provider = :provider
