"""Select batches of due rows round-robin among tenants. A tenant with 100,000 rows delays others by at most a batch."""

EVERY_ROW = "true"
LOCK_SKIPPING = "FOR UPDATE SKIP LOCKED"
BATCH_LIMIT = "CAST(:limit AS bigint)"


def round_robin(
    table: str, *, waiting: str, due: str = EVERY_ROW, key: str = "id", order: str, lock: str = LOCK_SKIPPING
) -> str:
    """Return CTEs for a statement that begins WITH RECURSIVE. The last one is `chosen`: at most `:limit` of the column
    `key`; by default locked, without those that another transaction has locked.

    `waiting` is the predicate of the indexes: one by tenant and `order` and, unless all that waits is `due`, one in
    `order`. If no more is due than one batch, that batch is all that is read. Otherwise each tenant
    with something that waits costs an index probe.
    """
    is_due = f"({waiting}) AND {due}"
    later = f"SELECT tenant FROM {table} WHERE ({waiting}) AND tenant > tenants.tenant ORDER BY tenant LIMIT 1"  # noqa: S608
    first = "tenant, " + order if due == EVERY_ROW else order
    backlog = f"SELECT FROM {table} WHERE {is_due} ORDER BY {first} LIMIT {BATCH_LIMIT} + 1"
    return f"""backlog AS MATERIALIZED (
  SELECT count(*) > {BATCH_LIMIT} AS has_backlog FROM ({backlog}) few
), tenants AS (
  (SELECT tenant FROM {table} WHERE ({waiting}) AND (SELECT has_backlog FROM backlog) ORDER BY tenant LIMIT 1)
   UNION ALL
  SELECT later.tenant FROM tenants CROSS JOIN LATERAL ({later}) later
), tenant_shares AS MATERIALIZED (
  SELECT tenant, count(*) OVER () AS tenant_count FROM tenants
   WHERE EXISTS (SELECT FROM {table} t WHERE t.tenant = tenants.tenant AND {is_due})
), own AS (
  SELECT own_row.{key}, own_row.turn FROM tenant_shares CROSS JOIN LATERAL (
    SELECT {key}, row_number() OVER () AS turn FROM (
      SELECT {key} FROM {table} t WHERE t.tenant = tenant_shares.tenant AND {is_due} ORDER BY {order}
       LIMIT ({BATCH_LIMIT} + tenant_count - 1) / tenant_count {lock}) tenant_rows) own_row
), few AS (
  SELECT {key} FROM {table} WHERE {is_due} AND NOT (SELECT has_backlog FROM backlog)
   ORDER BY {first} LIMIT {BATCH_LIMIT} {lock}
), chosen AS (
  (SELECT {key} FROM own ORDER BY turn, random() LIMIT {BATCH_LIMIT}) UNION ALL SELECT {key} FROM few
)"""  # noqa: S608 - constants of our own
