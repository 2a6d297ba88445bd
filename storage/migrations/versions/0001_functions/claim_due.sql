-- Claim due entries for a process, round-robin by tenant. The last row has no id; its `is_full` is true when the claim
-- ended because there is no free slot or the batch is full.
--
-- The advisory lock serializes claims, so that the round-robin is exact for any number of processes. It is taken by a
-- statement of its own: the statements after it see what the previous claim has committed. One index probe finds the
-- next tenant with a due entry; tenants without one cost nothing. A random lane (hash of the notification type) of the
-- tenant is chosen, so that thousands of one type do not block the other types. `since` keeps dead entries out of the
-- probes.
CREATE FUNCTION claim_due(process uuid, slots int, reserved int, batch_size int, since timestamptz, lease float8)
RETURNS TABLE (id uuid, tenant uuid, generation int, priority int, notification_type text, send_at timestamptz,
               expires_at timestamptz, has_workflow boolean, is_full boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  used int;
  used_by_bulk int;
  free_slots int;
  current_tenant uuid;
  last_served uuid;
  entry record;
  lanes int[];
  chosen_lane int;
  locked int := 0;
  no_tenant constant uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  PERFORM pg_advisory_xact_lock(7201535);
  SELECT count(*), count(*) FILTER (WHERE q.priority > 2) INTO used, used_by_bulk
    FROM queue_entry q WHERE q.claimed_by = process AND q.next_at >= since;
  free_slots := least(slots - used, batch_size);
  FOR level IN 1..5 LOOP
    IF level = 3 THEN
      free_slots := least(free_slots, slots - reserved - used_by_bulk);
    END IF;
    SELECT c.tenant INTO current_tenant FROM claim_cursor c WHERE c.priority = level;
    last_served := current_tenant;
    locked := 0;
    WHILE free_slots > 0 LOOP
      SELECT q.tenant, q.lane INTO entry FROM queue_entry q
       WHERE q.state = 'due' AND q.priority = level AND q.tenant > current_tenant AND q.next_at >= since
       ORDER BY q.tenant, q.lane, q.next_at LIMIT 1;
      IF NOT FOUND THEN
        EXIT WHEN current_tenant = no_tenant;
        current_tenant := no_tenant;
        CONTINUE;
      END IF;
      current_tenant := entry.tenant;
      lanes := claim_lanes(level, current_tenant, since);
      chosen_lane := lanes[1 + floor(random() * cardinality(lanes))];
      SELECT q.notification_id INTO entry FROM queue_entry q
       WHERE q.state = 'due' AND q.priority = level AND q.tenant = current_tenant AND q.lane = chosen_lane
         AND q.next_at >= since
       ORDER BY q.next_at, q.notification_id LIMIT 1 FOR UPDATE SKIP LOCKED;
      IF NOT FOUND THEN
        locked := locked + 1;
        EXIT WHEN locked > 20;
        CONTINUE;
      END IF;
      last_served := current_tenant;
      free_slots := free_slots - 1;
      RETURN QUERY
        UPDATE queue_entry q SET state = 'claimed', claimed_by = process, next_at = now() + make_interval(secs => lease)
          FROM notification n WHERE q.notification_id = entry.notification_id AND n.id = entry.notification_id
        RETURNING q.notification_id, q.tenant, q.generation, q.priority::int, n.notification_type::text, n.send_at,
                  n.expires_at, q.started_at IS NOT NULL, false;
    END LOOP;
    UPDATE claim_cursor c SET tenant = last_served WHERE c.priority = level AND c.tenant <> last_served;
  END LOOP;
  RETURN QUERY SELECT NULL::uuid, NULL::uuid, NULL::int, NULL::int, NULL::text, NULL::timestamptz, NULL::timestamptz,
                      NULL::boolean, free_slots <= 0;
END $$
