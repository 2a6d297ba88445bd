INSERT INTO lease AS l (name, holder, expires_at, acquired_at)
VALUES (:name, :holder, clock_timestamp() + make_interval(secs => :seconds), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder,
       expires_at = clock_timestamp() + make_interval(secs => :seconds),
       acquired_at = CASE WHEN l.holder = EXCLUDED.holder THEN l.acquired_at ELSE clock_timestamp() END
 WHERE l.holder = EXCLUDED.holder OR l.expires_at < clock_timestamp()
RETURNING l.holder
