WITH given AS (
  SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS text[]), CAST(:hashed_keys AS text[]))
    AS x(id, key, hashed_key)
), released AS (
  UPDATE notification n SET idempotency_key = NULL, idempotency_hash = NULL, holds_idempotency_key = false FROM given
   WHERE n.tenant = :tenant AND n.holds_idempotency_key AND n.idempotency_key = given.key
)
UPDATE multi_send m SET idempotency_key = given.hashed_key FROM given WHERE m.tenant = :tenant AND m.id = given.id
