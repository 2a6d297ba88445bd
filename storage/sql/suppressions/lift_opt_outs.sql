WITH theirs AS (
  SELECT s.id FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])) AS k(tenant, key)
    JOIN suppression s ON s.tenant = k.tenant AND s.address_hash = k.key
   WHERE s.channel = :channel AND s.lifted_at IS NULL AND s.source = :source AND s.reason = :reason
   ORDER BY s.tenant FOR UPDATE OF s
)
UPDATE suppression s SET lifted_at = now() FROM theirs WHERE s.id = theirs.id
