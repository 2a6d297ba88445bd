WITH live AS (
  SELECT providers, steady_since FROM process
   WHERE kind = 'worker' AND seen_at > now() - make_interval(secs => :live_within)
)
SELECT EXISTS (SELECT 1 FROM live WHERE steady_since < now() - make_interval(secs => :live_within))
   AND NOT EXISTS (SELECT 1 FROM live WHERE :provider = ANY(providers))
