"""Many rows that wait, of every kind that background work looks at. Set-based, so that they take seconds."""

from functools import reduce

from storage.database import Database
from tests.storage.sends import DatabaseTenant, open_database_tenant

SERIES = "generate_series(1, :size) AS n"
LATER = "now() + interval '1 hour'"

# Of one tenant. `database_tenant` is the tenant, `type` its notification type.
BACKLOG_STATEMENTS = (
    f"""
INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
       holds_idempotency_key, created_at, generation, revision)
SELECT gen_random_uuid(), :tenant, 'ada', 'order.shipped', :type, '{{}}', 'PENDING', 3, '{{}}', false, now(), 1, 3
  FROM {SERIES}""",
    # Held back by a pause of their channel; half of them were just released.
    """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at)
SELECT id, 1, tenant, 3, 'waiting', now() + interval '1 hour', now() FROM notification""",
    """
INSERT INTO delivery (id, tenant, notification_id, generation, step, channel, is_skipped_by_rule, status, created_at,
       held_at,
       held_priority, held_providers, hold_key,
       release_expires_at)
SELECT gen_random_uuid(), tenant, id, 1, 1, 'email', false, 'PENDING', now(), now(), 3, '{sandbox}',
       'email order.shipped sandbox', CASE WHEN random() < 0.5 THEN now() + interval '1 hour' END FROM notification""",
    """
INSERT INTO hold (id, tenant, kind, name, created_at) VALUES (gen_random_uuid(), :tenant, 'channel', 'email', now())""",
    """
INSERT INTO throttle_window (tenant, key, starts_at, ends_at, max_slots, per_seconds, used_slots, has_waiters)
VALUES (:tenant, 'news', now(), now() + interval '1 hour', 10, 3600, 10, true)""",
    """
INSERT INTO throttle_queue_entry (notification_id, generation, key, tenant, priority)
SELECT id, 1, 'news', tenant, 3 FROM notification""",
    # For quiet hours, for a limit, for a provider, for a digest, at work, and just canceled.
    *(
        f"""
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at, waits_until,
       waits_for, awaited_provider, recipient_id)
SELECT gen_random_uuid(), 1, :tenant, 3, '{state}', {LATER}, now(), {until}, {reason},
       CASE WHEN {reason} = 'provider_busy' THEN 'sandbox' END, 'ada'
  FROM {SERIES}"""
        for state, until, reason in (
            ("waiting", LATER, "'quiet_hours'"),
            ("waiting", LATER, "'throttled'"),
            ("waiting", "NULL", "'provider_busy'"),
            ("collecting", "NULL", "NULL"),
            ("started", "NULL", "NULL"),
        )
    ),
    # As many as processes may have begun to start.
    f"""
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, cancel_due)
SELECT gen_random_uuid(), 1, :tenant, 3, 'canceled', {LATER}, true FROM generate_series(1, 60)""",
    f"""
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, queued_provider, queued_at)
SELECT gen_random_uuid(), 1, :tenant, 3, 'started', {LATER}, 'sandbox', now() FROM generate_series(1, 60)""",
    # Unmatched, and tried again later.
    f"""
INSERT INTO receipt (id, provider, kind, provider_message_id, occurred_at, received_at, raw, attempt_count,
       next_attempt_at)
SELECT gen_random_uuid(), 'sandbox', 'delivered', n::text, now(), now(), '{{}}', 5, {LATER} FROM {SERIES}""",
    """
INSERT INTO event_endpoint (id, tenant, key, url, events, secret, enabled, created_at, updated_at)
SELECT gen_random_uuid(), :tenant, 'hook ' || n, 'https://example.com', '{*}', 's', true, now(), now()
  FROM generate_series(1, 100) AS n""",
    f"""
INSERT INTO event_message (id, tenant, endpoint_id, kind, occurred_at, body, attempt_count, next_attempt_at, attempts)
SELECT gen_random_uuid(), p.tenant, p.id, 'message.sent', now(), '{{}}', 1, {LATER}, '[]'
  FROM event_endpoint p, generate_series(1, :size / 100)""",
    # Windows that are open, and windows that are due by the calendar and left to their tick.
    f"""
INSERT INTO digest (id, tenant, notification_type, type_id, recipient_id, digest_key, closes_on_schedule, is_full,
       item_count, item_bytes,
       opened_at, closes_at, signaled_at)
SELECT gen_random_uuid(), :tenant, 'order.shipped', :type, 'ada', 'group ' || n, n % 2 = 0, false, 1, 10, now(),
       CASE WHEN n % 2 = 0 THEN now() - interval '1 minute' ELSE {LATER} END, now() FROM {SERIES}""",
    """
INSERT INTO tick (tenant, notification_type, interval_minutes, synced_at, sync_attempted_at)
SELECT :tenant, 'type ' || n, 15, now(), now() FROM generate_series(1, 10000) AS n""",
    """
INSERT INTO schedule (id, tenant, key, notification_type, spec, created_at, updated_at)
SELECT :tenant, :tenant, 'weekly', 'order.shipped', '{"timezone": "recipient", "payload": {}}', now(), now()""",
    f"""
INSERT INTO schedule_occurrence (schedule_id, recipient_id, tenant, notification_type, due_at, timezone)
SELECT :tenant, 'person ' || n, :tenant, 'order.shipped', {LATER}, 'UTC' FROM {SERIES}""",
    f"""
INSERT INTO schedule_run (id, schedule_id, tenant, kind, due_at, ran_at, accepted, skipped_recipients, finished_at)
SELECT gen_random_uuid(), :tenant, :tenant, 'due', now(), now(), 1, '{{}}', now() FROM {SERIES}""",
    f"""
INSERT INTO sandbox_receipt (id, message_id, attempt_id, kind, at, due_at)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'delivered', now(), {LATER} FROM {SERIES}""",
)


async def waiting_backlog(database: Database, size: int) -> DatabaseTenant:
    """A tenant of which everything waits, `size` rows of each kind."""
    database_tenant = await open_database_tenant(database)
    connection = await database.dedicated()
    try:
        for statement in BACKLOG_STATEMENTS:
            values = {
                ":tenant": f"'{database_tenant.tenant}'",
                ":type": f"'{database_tenant.type_id}'",
                ":size": str(size),
            }
            filled = reduce(lambda filled, value: filled.replace(*value), values.items(), statement)
            await connection.execute(filled, timeout=120)
        await connection.execute("ANALYZE", timeout=120)
    finally:
        await connection.close()
    return database_tenant
