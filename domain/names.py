"""Define the names that cross a boundary: queues, workflow ids, search attributes, notify channels, deterministic
ids, and the summary of a run in Temporal's Web UI."""

from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import sha256
from uuid import UUID, uuid5

NAMESPACE = UUID("5f4b9d0e-7b1a-4c0f-9a35-1d7c0e6f2b11")

NOTIFICATIONS_QUEUE = "notifications"
DISPATCH_CHANNEL = "tocsin_dispatch"  # a row is due
FLUSH_CHANNEL = "tocsin_flush"  # a type, key or publication changed
SANDBOX_CHANNEL = "tocsin_sandbox"  # a sandbox receipt is due
URGENT_CHANNEL = "tocsin_urgent"  # an urgent notification was claimed, on the host in the payload
EVENTS_CHANNEL = "tocsin_events"  # an event is to be posted to a tenant's endpoint

# Payloads on DISPATCH_CHANNEL: which loop has work.
QUEUE_DUE = "queue"
CANCEL_DUE, EVIDENCE_DUE, RELEASE_DUE = "cancel", "evidence", "release"
RATES_DUE = "rates"
COLLECT_DUE, DIGEST_DUE, THROTTLE_DUE = "collect", "digest", "throttle"
TICKS_DUE, RUNS_DUE, PLANS_DUE = "ticks", "runs", "plans"
RECONSIDER_DUE, ERASURE_DUE = "reconsider", "erasure"
STORE_DUE, RECOVERY_DUE = "store", "recovery"
LEADER_LEASE = "leader"

TENANT_ATTRIBUTE = "TocsinTenant"
TYPE_ATTRIBUTE = "TocsinType"
STATUS_ATTRIBUTE = "TocsinStatus"
CHANNEL_ATTRIBUTE = "TocsinChannel"
STEP_ATTRIBUTE = "TocsinStep"
PRIORITY_ATTRIBUTE = "TocsinPriority"
SCHEDULE_ATTRIBUTE = "TocsinSchedule"
BUILDS_ATTRIBUTE = "BuildIds"  # Temporal's own


def delivery_queue(provider: str) -> str:
    """Return the queue of a provider. Each has one, so that the server enforces its rate over all workers."""
    return f"deliver-{provider}"


def workflow_id(notification_id: UUID, generation: int) -> str:
    return f"notification-{notification_id}-{generation}"


def digest_workflow_id(digest_key: str) -> str:
    """Return the id of a digest's workflow. `digest_key` stands for type, recipient and key without naming them."""
    return f"digest-{digest_key}"


def tick_schedule(tenant: UUID, notification_type: str) -> str:
    """Return the id of the Temporal Schedule, and of the workflows that it starts, to which Temporal adds the time."""
    return f"tick-{tenant}-{notification_type}"


def derived_id(*parts: object) -> UUID:
    """Return the same id for the same facts, so that code that runs twice writes one row."""
    return uuid5(NAMESPACE, ":".join(str(part) for part in parts))


def timed_id(at: datetime, *parts: object) -> UUID:
    """Return the same UUIDv7 for the same facts, which sorts by time in lists and indexes."""
    milliseconds = max(int(at.timestamp() * 1000), 0)
    filler = sha256(":".join(str(part) for part in parts).encode()).digest()[:10]
    return UUID(bytes=_version_7(milliseconds.to_bytes(6, "big") + filler))


def _version_7(octets: bytes) -> bytes:
    return octets[:6] + bytes([octets[6] & 0x0F | 0x70, octets[7], octets[8] & 0x3F | 0x80]) + octets[9:]


def delivery_id(notification_id: UUID, generation: int, step: int, channel: str) -> UUID:
    return derived_id("delivery", notification_id, generation, step, channel)


def attempt_id(delivery: UUID, endpoint_id: str, number: int) -> UUID:
    return derived_id("attempt", delivery, endpoint_id, number)


# Temporal refuses a start whose summary has more than 400 bytes.
MAX_SUMMARY_LENGTH = 250


def route_text(route: Sequence[Sequence[str]], only: Collection[str] | None) -> str:
    """Return `email + push then sms`: the steps of the route, restricted to the channels that the caller asked for;
    None: all."""
    steps = [[channel for channel in step if only is None or channel in only] for step in route]
    return " then ".join(" + ".join(step) for step in steps if step)


def run_summary(notification_type: str, priority: int, route: str) -> str:
    parts = [notification_type, f"priority {priority}", route]
    return ", ".join(part for part in parts if part)[:MAX_SUMMARY_LENGTH]
