"""Every worker process claims what is due by itself: a function of the database, and indexes for it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FOR_ROOM = "COALESCE(waits_for, '') IN ('throttled', 'capped')"
# Name, columns and predicate.
NEW = (
    ("due", ["priority", "tenant", "lane", "next_at", "notification_id"], "state = 'due'"),
    ("queued_for", ["queued_for", "queued_at"], "queued_for IS NOT NULL"),
    (
        "busy",
        ["waits_for", "priority", "notification_id"],
        "state = 'waiting' AND waits_for LIKE 'provider_busy%'",
    ),
    ("slots", ["claimed_by", "next_at"], "claimed_by IS NOT NULL"),
    (
        "timed",
        ["priority", "next_at"],
        f"state = 'claimed' OR (state = 'waiting' AND waits_until IS NOT NULL AND NOT {FOR_ROOM})",
    ),
    (
        "looked_after",
        ["next_at"],
        f"state = 'started' OR (state = 'waiting' AND (waits_until IS NULL OR {FOR_ROOM}))",
    ),
)
TO_START = "state IN ('due', 'claimed')"
OLD = (
    ("due", ["tenant", "priority", "notification_id"], f"{TO_START} AND generation = 1 AND priority > 2"),
    ("urgent", ["priority", "notification_id"], f"{TO_START} AND generation = 1 AND priority <= 2"),
    ("redriven", ["next_at"], f"{TO_START} AND generation > 1"),
    ("started", ["next_at"], "state IN ('started', 'waiting')"),
)

# What may not be claimed yet waits. What waits has an end, or is looked after.
MOVE = """
UPDATE queue_entry SET state = CASE WHEN state IN ('due', 'claimed') AND next_at > now() THEN 'waiting'
                                    WHEN state = 'claimed' THEN 'due' ELSE state END,
       waits_until = CASE WHEN state IN ('due', 'claimed') AND next_at > now() THEN next_at ELSE waits_until END,
       next_at = CASE WHEN state = 'waiting' AND waits_until IS NOT NULL THEN waits_until ELSE next_at END
 WHERE state IN ('due', 'claimed', 'waiting')
"""
MOVE_BACK = """
UPDATE queue_entry SET state = 'due', next_at = GREATEST(next_at, now()), claimed_by = NULL
 WHERE state IN ('due', 'claimed') OR (state = 'waiting' AND started_at IS NULL)
"""

# Claims follow each other under one lock, so that tenants take turns exactly, however many processes claim. The lock is
# taken by a statement of its own: the ones behind it see what the claim before has committed. A turn is one index probe
# for the next tenant with something due; tenants without cost nothing. Among the lanes of the tenant (its notification
# types) chance decides, so that thousands of one type hold up no other type. `since` keeps dead entries out of the probes.
CLAIM = """
CREATE FUNCTION claim_due(process uuid, slots int, reserved int, most int, since timestamptz, lease float8)
RETURNS TABLE (id uuid, tenant uuid, generation int, priority int, notification_type text, send_at timestamptz,
               expires_at timestamptz, started boolean, is_full boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  used int;
  used_by_bulk int;
  room int;
  turn uuid;
  served uuid;
  entry record;
  lanes int[];
  chosen int;
  locked int := 0;
  no_tenant constant uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  PERFORM pg_advisory_xact_lock(7201535);
  SELECT count(*), count(*) FILTER (WHERE q.priority > 2) INTO used, used_by_bulk
    FROM queue_entry q WHERE q.claimed_by = process AND q.next_at >= since;
  room := least(slots - used, most);
  FOR level IN 1..5 LOOP
    IF level = 3 THEN
      room := least(room, slots - reserved - used_by_bulk);
    END IF;
    SELECT t.tenant INTO turn FROM claim_turn t WHERE t.priority = level;
    served := turn;
    locked := 0;
    WHILE room > 0 LOOP
      SELECT q.tenant, q.lane INTO entry FROM queue_entry q
       WHERE q.state = 'due' AND q.priority = level AND q.tenant > turn AND q.next_at >= since
       ORDER BY q.tenant, q.lane, q.next_at LIMIT 1;
      IF NOT FOUND THEN
        EXIT WHEN turn = no_tenant;
        turn := no_tenant;
        CONTINUE;
      END IF;
      turn := entry.tenant;
      lanes := claim_lanes(level, turn, since);
      chosen := lanes[1 + floor(random() * cardinality(lanes))];
      SELECT q.notification_id INTO entry FROM queue_entry q
       WHERE q.state = 'due' AND q.priority = level AND q.tenant = turn AND q.lane = chosen AND q.next_at >= since
       ORDER BY q.next_at, q.notification_id LIMIT 1 FOR UPDATE SKIP LOCKED;
      IF NOT FOUND THEN
        locked := locked + 1;
        EXIT WHEN locked > 20;
        CONTINUE;
      END IF;
      served := turn;
      room := room - 1;
      RETURN QUERY
        UPDATE queue_entry q SET state = 'claimed', claimed_by = process, next_at = now() + make_interval(secs => lease)
          FROM notification n WHERE q.notification_id = entry.notification_id AND n.id = entry.notification_id
        RETURNING q.notification_id, q.tenant, q.generation, q.priority::int, n.notification_type::text, n.send_at,
                  n.expires_at, q.started_at IS NOT NULL, false;
    END LOOP;
    UPDATE claim_turn t SET tenant = served WHERE t.priority = level AND t.tenant <> served;
  END LOOP;
  RETURN QUERY SELECT NULL::uuid, NULL::uuid, NULL::int, NULL::int, NULL::text, NULL::timestamptz, NULL::timestamptz,
                      NULL::boolean, room <= 0;
END $$
"""

# At most 8, beginning anywhere: a tenant may have thousands of types.
LANES = """
CREATE FUNCTION claim_lanes(level int, whose uuid, since timestamptz) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
  lanes int[] := '{}';
  start constant bigint := floor(random() * 4294967296)::bigint - 2147483648;
  behind bigint := start - 1;
  wrapped boolean := false;
  found_lane int;
BEGIN
  WHILE cardinality(lanes) < 8 LOOP
    SELECT q.lane INTO found_lane FROM queue_entry q
     WHERE q.state = 'due' AND q.priority = level AND q.tenant = whose AND q.lane > behind AND q.next_at >= since
     ORDER BY q.lane, q.next_at LIMIT 1;
    IF FOUND AND (NOT wrapped OR found_lane < start) THEN
      lanes := lanes || found_lane;
      behind := found_lane;
    ELSE
      EXIT WHEN wrapped;
      wrapped := true;
      behind := -2147483649;
    END IF;
  END LOOP;
  RETURN lanes;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "claim_turn",
        sa.Column("priority", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("priority"),
    )
    op.execute(
        "INSERT INTO claim_turn SELECT level, '00000000-0000-0000-0000-000000000000' FROM generate_series(1, 5) level"
    )
    for name, *_ in OLD:
        op.drop_index(f"queue_entry_{name}", "queue_entry")
    op.add_column("queue_entry", sa.Column("lane", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("queue_entry", sa.Column("queued_for", AutoString(), nullable=True))
    op.add_column("queue_entry", sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(MOVE)
    for name, columns, where in NEW:
        op.create_index(f"queue_entry_{name}", "queue_entry", columns, postgresql_where=sa.text(where))
    op.execute(LANES)
    op.execute(CLAIM)


def downgrade() -> None:
    op.execute("DROP FUNCTION claim_due")
    op.execute("DROP FUNCTION claim_lanes")
    for name, *_ in NEW:
        op.drop_index(f"queue_entry_{name}", "queue_entry")
    op.execute(MOVE_BACK)
    for name, columns, where in OLD:
        op.create_index(f"queue_entry_{name}", "queue_entry", columns, postgresql_where=sa.text(where))
    for column in ("lane", "queued_for", "queued_at"):
        op.drop_column("queue_entry", column)
    op.drop_table("claim_turn")
