"""Monitor provider health in this process: count the outcomes of its calls, write the counts to the database every
second, and read the counts of other processes. The guard and the choice of a provider read it without I/O."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from domain.circuits import CallTally, CircuitHealth, CircuitState, throttle_duration
from domain.evidence import CallResult
from domain.failure_reasons import affects_whole_account, counts_for_circuit
from domain.holds import DeliveryHold, circuit_hold, throttling_hold
from domain.names import derived_id
from domain.retries import INTERNAL_REASONS
from providers.outcomes import ProviderOutcome
from services.outcome_translation import retry_delay
from storage import provider_health
from storage.database import Database
from storage.statements import Executor

log = structlog.get_logger(__name__)

SYNC_INTERVAL = 1.0  # seconds between two syncs
MAX_REMEMBERED_DELIVERIES = 1_000  # deliveries whose error has been counted
SLOW_CALL_SHARE = 0.5  # share of the adapter's deadline
# Results that indicate trouble at the provider, not with the message or our rate.
TROUBLE_RESULTS = (CallResult.NOT_ACCEPTED, CallResult.UNKNOWN)
THROTTLED = "throttled"


@dataclass(kw_only=True)
class _CallCounts:
    calls: int = 0
    errors: int = 0
    slow: int = 0
    credential_failures: list[str] = field(default_factory=list)
    throttled_until: float = 0.0

    def take_tally(self) -> CallTally:
        throttled_for = timedelta(seconds=max(0.0, self.throttled_until - time.monotonic()))
        return CallTally(
            calls=self.calls,
            errors=self.errors,
            slow=self.slow,
            credential_failures=tuple(self.credential_failures),
            throttled_for=throttled_for,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservedCall:
    """Describe one call that was made. `deadline_share` is the share of the adapter's deadline that it took,
    `started` is from `time.monotonic`."""

    provider: str
    delivery_id: UUID
    recipient: str
    outcome: ProviderOutcome
    deadline_share: float
    started: float


class CircuitMonitor:
    """Apply throttling by a vendor immediately in this process, and within two seconds in the others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known_healths: Mapping[str, CircuitHealth] = {}
        self._call_counts: dict[str, _CallCounts] = defaultdict(_CallCounts)
        self._throttled_until: dict[str, float] = defaultdict(float)
        self._deliveries_with_trouble: dict[UUID, None] = {}
        self._state_changed_at: dict[str, float] = {}
        # Deliveries with trouble since the state of the circuit changed.
        self._deliveries_since_change: dict[str, set[UUID]] = defaultdict(set)

    @property
    def healths(self) -> Mapping[str, CircuitHealth]:
        """Return the health as of the last sync, one second ago. A provider that is missing is healthy."""
        return self._known_healths

    async def find_hold(self, session: Executor, provider: str, now: datetime) -> DeliveryHold | None:
        """Return why this call must not be made. Runs in the guard's transaction; `now` is from the database clock.
        The database limits the number of probes of a half-open circuit."""
        health = self._known_healths.get(provider)
        if (known := self.known_hold(provider, now)) is not None:
            return known
        if health is None or health.is_circuit_closed or await provider_health.acquire_probe(session, provider):
            return None
        return circuit_hold(provider, health.open_count)

    def known_hold(self, provider: str, now: datetime) -> DeliveryHold | None:
        """Return the hold that is known without a call: an open circuit or throttling by the vendor."""
        health = self._known_healths.get(provider)
        if health is not None and health.state is CircuitState.OPEN:
            return circuit_hold(provider, health.open_count)
        if self._throttled_until[provider] > time.monotonic() or (health is not None and health.is_throttled(now)):
            return throttling_hold(provider)
        return None

    def record_call(self, call: ObservedCall) -> None:
        result, reason = call.outcome.result, call.outcome.reason
        if reason == THROTTLED:
            self._throttle(call.provider, throttle_duration(retry_delay(call.outcome)))
        trouble = result in TROUBLE_RESULTS and reason not in INTERNAL_REASONS and counts_for_circuit(reason)
        if self._is_stale(call) or (trouble and not self._counts_as_error(call)):
            return
        counts = self._call_counts[call.provider]
        counts.calls += 1
        counts.errors += trouble
        counts.slow += call.deadline_share >= SLOW_CALL_SHARE
        if result is CallResult.PERMANENT and affects_whole_account(reason):
            counts.credential_failures.append(str(derived_id("refused", call.recipient)))
        elif not trouble:
            counts.credential_failures.clear()  # Credentials that another message passes with are valid.

    def _throttle(self, provider: str, throttled_for: timedelta) -> None:
        """Throttle the whole provider: a 429 limits the account, not this message. Keep the longest requested
        duration."""
        until = max(self._throttled_until[provider], time.monotonic() + throttled_for.total_seconds())
        self._throttled_until[provider] = self._call_counts[provider].throttled_until = until

    def _is_stale(self, call: ObservedCall) -> bool:
        """Return whether the call began before the circuit became half-open. Its outcome proves nothing about the
        present."""
        health = self._known_healths.get(call.provider)
        is_probing = health is not None and health.state is CircuitState.HALF_OPEN
        return is_probing and call.started < self._state_changed_at[call.provider]

    def _counts_as_error(self, call: ObservedCall) -> bool:
        """Return whether the failure counts as an error. Of one message that is retried only the first failure
        counts. While the circuit is open or half-open, each failure counts once several messages have failed: one
        message alone proves nothing."""
        health = self._known_healths.get(call.provider)
        is_first = self._is_first_trouble(call.delivery_id)
        if health is None or health.is_circuit_closed:
            return is_first
        self._deliveries_since_change[call.provider].add(call.delivery_id)
        return is_first or len(self._deliveries_since_change[call.provider]) > 1

    def _is_first_trouble(self, delivery_id: UUID) -> bool:
        """Return whether this is the first failure of the message. A message that is retried counts once."""
        if delivery_id in self._deliveries_with_trouble:
            return False
        self._deliveries_with_trouble[delivery_id] = None
        if len(self._deliveries_with_trouble) > MAX_REMEMBERED_DELIVERIES:
            self._deliveries_with_trouble.pop(next(iter(self._deliveries_with_trouble)))
        return True

    async def sync(self) -> float:
        """Write the counts, apply changes that depend on time alone, and read the health from all processes."""
        moving = {name for name, health in self._known_healths.items() if health.changes_with_time}
        if changed := sorted({*self._call_counts, *moving}):
            async with self._database.quick_transaction() as session:
                for provider in changed:
                    before, after = await provider_health.apply_tally(session, provider, self.take_tally(provider))
                    _log_change(before, after)
        await self.refresh()
        return SYNC_INTERVAL

    async def refresh(self) -> None:
        """Read the health, in a process that calls no provider."""
        async with self._database.statement() as session:
            self.update_healths(await provider_health.read_health(session))

    def take_tally(self, provider: str) -> CallTally:
        """Return and reset the counts since the last call."""
        return self._call_counts.pop(provider, _CallCounts()).take_tally()

    def update_healths(self, healths: Mapping[str, CircuitHealth]) -> None:
        for name, health in healths.items():
            if name not in self._known_healths or self._known_healths[name].state is not health.state:
                self._state_changed_at[name] = time.monotonic()
                self._deliveries_since_change.pop(name, None)
        self._known_healths = healths


def _log_change(before: CircuitHealth, after: CircuitHealth) -> None:
    """Log a change once, in the process that made it."""
    if after.throttled_until is not None and before.throttled_until is None:
        log.info("a provider is throttled", provider=after.provider, until=str(after.throttled_until))
    if before.state is after.state:
        return
    details = {"provider": after.provider, "reason": after.reason}
    if after.state is CircuitState.OPEN and before.state is CircuitState.CLOSED:
        log.error("a provider's circuit is open; its messages are rerouted or held", **details)
    elif after.state is CircuitState.CLOSED:
        log.warning("a provider has recovered", provider=after.provider)
    else:
        log.info("the state of a provider's circuit changed", state=str(after.state), **details)
