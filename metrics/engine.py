"""Count events inside the engine. Incremented by `dispatch`, `storage`, `activities` and `rendering`."""

from enum import StrEnum

from prometheus_client import Counter

from metrics.registry import REGISTRY


class ReachedLimit(StrEnum):
    """Name the limits that are counted when reached; the only values of the label `limit`."""

    ATTACHMENT_BYTES = "attachment_bytes"
    ATTACHMENT_CALLS = "attachment_calls"
    ATTACHMENT_UPLOADS = "attachment_uploads"
    AUDIT_ENTRIES = "audit_entries"
    CONNECTIONS = "connections"
    CONNECTIONS_PER_SOURCE = "connections_per_source"
    DATABASE_POOL = "database_pool"
    DEVICES_STORED = "devices_stored"
    DEVICES_USED = "devices_used"
    ENDPOINT_CALLS = "endpoint_calls"
    PIPELINED_REQUESTS = "pipelined_requests"
    PROVIDER_CALLS = "provider_calls"
    PRUNING_TIME = "pruning_time"
    RATE_KEY = "rate_key"
    RATE_SOURCE = "rate_source"
    RATE_TENANT = "rate_tenant"
    RATE_UNKNOWN_KEYS = "rate_unknown_keys"
    RECEIPT_BODIES = "receipt_bodies"
    RENDER_QUEUE = "render_queue"
    REQUEST_HEADERS = "request_headers"
    REQUEST_SYNTAX = "request_syntax"
    REQUEST_TIMEOUT = "request_timeout"
    RESPONSE_TIMEOUT = "response_timeout"
    SLOTS = "slots"
    URGENT_BURST = "urgent_burst"


class FailureCause(StrEnum):
    """Name what was unavailable, or a bug; the only values of the label `cause`."""

    DATABASE = "database"
    TEMPORAL = "temporal"
    HTTP = "http"
    BUG = "bug"


class PrunedTable(StrEnum):
    """Name the tables whose old rows are deleted; the only values of the label `table`."""

    ATTACHMENT = "attachment"
    ATTACHMENT_USE = "attachment_use"
    ATTEMPT = "attempt"
    AUDIT_ENTRY = "audit_entry"
    DELIVERY = "delivery"
    DIGEST = "digest"
    EVENT = "event"
    EVENT_MESSAGE = "event_message"
    INBOUND_MESSAGE = "inbound_message"
    INBOX_MESSAGE = "inbox_message"
    MULTI_SEND = "multi_send"
    NOTIFICATION = "notification"
    NOTIFICATION_CONTENT = "notification_content"
    QUEUE_ENTRY = "queue_entry"
    RECEIPT = "receipt"
    SANDBOX_CALL = "sandbox_call"
    SANDBOX_MESSAGE = "sandbox_message"
    SANDBOX_RECEIPT = "sandbox_receipt"
    SCHEDULE_RUN = "schedule_run"
    THROTTLE_QUEUE_ENTRY = "throttle_queue_entry"
    THROTTLE_WINDOW = "throttle_window"


BACKGROUND_FAILURES = Counter(
    "tocsin_background_failures",
    "Runs of background loops that an outage or a bug ended.",
    ["loop", "cause"],
    registry=REGISTRY,
)
LIMITS_REACHED = Counter(
    "tocsin_limits_reached", "How often a limit kept something waiting or refused it.", ["limit"], registry=REGISTRY
)
FORWARDED_FOR_IGNORED = Counter(
    "tocsin_forwarded_for_ignored",
    "Requests with X-Forwarded-For from an address that is no trusted proxy.",
    registry=REGISTRY,
)
ROWS_PRUNED = Counter("tocsin_rows_pruned", "Old rows that were deleted.", ["table"], registry=REGISTRY)

# Present from the start, so that the first increase is one.
for limit in ReachedLimit:
    LIMITS_REACHED.labels(limit.value)
for table in PrunedTable:
    ROWS_PRUNED.labels(table.value)


def count_limit_reached(limit: ReachedLimit, times: int = 1) -> None:
    LIMITS_REACHED.labels(limit.value).inc(times)


def count_ignored_forwarded_for() -> None:
    FORWARDED_FOR_IGNORED.inc()


def count_pruned_rows(table: PrunedTable, rows: int) -> None:
    ROWS_PRUNED.labels(table.value).inc(rows)


def initialize_bug_count(loop: str) -> None:
    """Show a count of 0, so that the first increase is one."""
    BACKGROUND_FAILURES.labels(loop, FailureCause.BUG.value)


def count_background_failure(loop: str, cause: FailureCause) -> None:
    BACKGROUND_FAILURES.labels(loop, cause.value).inc()
