WITH newest AS (
  SELECT DISTINCT ON (key) key, spec->>'category' AS category, retired_at FROM notification_type
   WHERE tenant = :tenant ORDER BY key, version DESC
), known AS (
  SELECT key AS name FROM newest WHERE retired_at IS NULL
   UNION
  SELECT category FROM newest WHERE retired_at IS NULL AND category IS NOT NULL
)
SELECT name FROM unnest(CAST(:names AS text[])) AS given(name) EXCEPT SELECT name FROM known ORDER BY name
