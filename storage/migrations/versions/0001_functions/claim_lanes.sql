-- The lanes of a tenant with due entries: at most 8, from a random start, because a tenant may have thousands of types.
CREATE FUNCTION claim_lanes(level int, tenant_id uuid, since timestamptz) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
  lanes int[] := '{}';
  start constant bigint := floor(random() * 4294967296)::bigint - 2147483648;
  previous_lane bigint := start - 1;
  is_wrapped boolean := false;
  next_lane int;
BEGIN
  WHILE cardinality(lanes) < 8 LOOP
    SELECT q.lane INTO next_lane FROM queue_entry q
     WHERE q.state = 'due' AND q.priority = level AND q.tenant = tenant_id AND q.lane > previous_lane
       AND q.next_at >= since
     ORDER BY q.lane, q.next_at LIMIT 1;
    IF FOUND AND (NOT is_wrapped OR next_lane < start) THEN
      lanes := lanes || next_lane;
      previous_lane := next_lane;
    ELSE
      EXIT WHEN is_wrapped;
      is_wrapped := true;
      previous_lane := -2147483649;
    END IF;
  END LOOP;
  RETURN lanes;
END $$
