WITH earlier AS (
  SELECT count(*) AS calls FROM sandbox_call WHERE delivery_id = :delivery_id AND endpoint_id = :endpoint_id
)
INSERT INTO sandbox_call (id, attempt_id, delivery_id, endpoint_id, at)
SELECT :id, :attempt_id, :delivery_id, :endpoint_id, clock_timestamp() RETURNING (SELECT calls FROM earlier) + 1
