WITH pruned AS (
  DELETE FROM process WHERE seen_at < now() - make_interval(secs => :pruned_after) AND id <> :id
)
INSERT INTO process AS p (id, kind, host, pid, providers, isolation, started_at, seen_at, steady_since)
VALUES (:id, :kind, :host, :pid, :providers, :isolation, now(), now(), now())
ON CONFLICT (id) DO UPDATE SET seen_at = now(), isolation = excluded.isolation,
  steady_since = CASE WHEN p.seen_at < now() - make_interval(secs => :live_within) THEN now() ELSE p.steady_since END
