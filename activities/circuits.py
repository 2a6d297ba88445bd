"""How the providers are doing, as this process knows it: it counts what its own calls came to, tells the database every
second, and learns what the others saw. The guard and the choice of a provider ask it, at no cost on their way."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from domain.circuits import CallTally, CircuitHealth, CircuitState, throttle_duration
from domain.failure_reasons import affects_whole_account, counts_for_circuit
from domain.holds import DeliveryHold, circuit_hold, throttling_hold
from domain.messages import CallResult
from domain.names import derived_id
from domain.retries import INTERNAL_REASONS
from storage import provider_health
from storage.database import Database
from storage.statements import Executor

log = structlog.get_logger(__name__)

SYNC_INTERVAL = 1.0  # seconds between two looks
MAX_REMEMBERED_DELIVERIES = 1_000  # deliveries whose error has been counted already
SLOW_CALL_SHARE = 0.5  # of the adapter's deadline
# What says that the provider, not the message or our rate, is in trouble.
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
    """One call that was really made. `share` is the part of the adapter's deadline that it took, `began` is by
    `time.monotonic`; `retry_after` is what the vendor asked for."""

    provider: str
    delivery_id: UUID
    recipient: str
    result: CallResult
    reason: str | None
    deadline_share: float
    started: float
    retry_after: timedelta | None = None


class CircuitMonitor:
    """What a vendor tells this process is obeyed here at once, and by the others within a second or two."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known_healths: Mapping[str, CircuitHealth] = {}
        self._call_counts: dict[str, _CallCounts] = defaultdict(_CallCounts)
        self._throttled_until: dict[str, float] = defaultdict(float)
        self._deliveries_with_trouble: dict[UUID, None] = {}
        self._state_changed_at: dict[str, float] = {}
        # Deliveries with trouble since the circuit's state changed.
        self._deliveries_since_change: dict[str, set[UUID]] = defaultdict(set)

    @property
    def healths(self) -> Mapping[str, CircuitHealth]:
        """As of a second ago; a provider that is missing is well."""
        return self._known_healths

    async def find_hold(self, session: Executor, provider: str, now: datetime) -> DeliveryHold | None:
        """Why this call is not to be made, asked in the guard's own transaction; `now` is by the database's clock. A
        half-open circuit passes only as many as the database counts."""
        health = self._known_healths.get(provider)
        if (known := self.known_hold(provider, now)) is not None:
            return known
        if health is None or health.is_circuit_closed or await provider_health.acquire_probe(session, provider):
            return None
        return circuit_hold(provider, health.openings)

    def known_hold(self, provider: str, now: datetime) -> DeliveryHold | None:
        """The same for a call that is not made: an open circuit, or a vendor that wants no calls for a while."""
        health = self._known_healths.get(provider)
        if health is not None and health.state is CircuitState.OPEN:
            return circuit_hold(provider, health.openings)
        if self._throttled_until[provider] > time.monotonic() or (health is not None and health.is_throttled(now)):
            return throttling_hold(provider)
        return None

    def record_call(self, call: ObservedCall) -> None:
        if call.reason == THROTTLED:
            self._throttle(call.provider, throttle_duration(call.retry_after))
        trouble = (
            call.result in TROUBLE_RESULTS and call.reason not in INTERNAL_REASONS and counts_for_circuit(call.reason)
        )
        if self._is_stale(call) or (trouble and not self._counts_as_error(call)):
            return
        counts = self._call_counts[call.provider]
        counts.calls += 1
        counts.errors += trouble
        counts.slow += call.deadline_share >= SLOW_CALL_SHARE
        if call.result is CallResult.PERMANENT and affects_whole_account(call.reason):
            counts.credential_failures.append(str(derived_id("refused", call.recipient)))
        elif not trouble:
            counts.credential_failures.clear()  # what somebody's message passes with is not broken

    def _throttle(self, provider: str, throttled_for: timedelta) -> None:
        """The whole provider, for it asks us and not this one message. The longest that it has asked for."""
        until = max(self._throttled_until[provider], time.monotonic() + throttled_for.total_seconds())
        self._throttled_until[provider] = self._call_counts[provider].throttled_until = until

    def _is_stale(self, call: ObservedCall) -> bool:
        """It began before the circuit was tried again: a call that hung until now says nothing of today."""
        health = self._known_healths.get(call.provider)
        is_probing = health is not None and health.state is CircuitState.HALF_OPEN
        return is_probing and call.started < self._state_changed_at[call.provider]

    def _counts_as_error(self, call: ObservedCall) -> bool:
        """Of one message that is tried again and again the first trouble. While a circuit is being tried, every one of
        several messages: a message that had trouble before proves nothing alone."""
        health = self._known_healths.get(call.provider)
        is_first = self._is_first_trouble(call.delivery_id)
        if health is None or health.is_circuit_closed:
            return is_first
        self._deliveries_since_change[call.provider].add(call.delivery_id)
        return is_first or len(self._deliveries_since_change[call.provider]) > 1

    def _is_first_trouble(self, delivery_id: UUID) -> bool:
        """One bad message, tried again and again, is one error."""
        if delivery_id in self._deliveries_with_trouble:
            return False
        self._deliveries_with_trouble[delivery_id] = None
        if len(self._deliveries_with_trouble) > MAX_REMEMBERED_DELIVERIES:
            self._deliveries_with_trouble.pop(next(iter(self._deliveries_with_trouble)))
        return True

    async def sync(self) -> float:
        """Tell what was seen, move what time alone moves, and learn the rest."""
        moving = {name for name, health in self._known_healths.items() if health.changes_with_time}
        if changed := sorted({*self._call_counts, *moving}):
            async with self._database.quick_transaction() as session:
                for provider in changed:
                    before, after = await provider_health.apply_tally(session, provider, self.take_tally(provider))
                    _log_change(before, after)
        await self.refresh()
        return SYNC_INTERVAL

    async def refresh(self) -> None:
        """Learn how the providers are doing, for a process that calls none."""
        async with self._database.statement() as session:
            self.update_healths(await provider_health.read_health(session))

    def take_tally(self, provider: str) -> CallTally:
        """What was seen since this was asked last."""
        return self._call_counts.pop(provider, _CallCounts()).take_tally()

    def update_healths(self, healths: Mapping[str, CircuitHealth]) -> None:
        for name, health in healths.items():
            if name not in self._known_healths or self._known_healths[name].state is not health.state:
                self._state_changed_at[name] = time.monotonic()
                self._deliveries_since_change.pop(name, None)
        self._known_healths = healths


def _log_change(before: CircuitHealth, after: CircuitHealth) -> None:
    """Once per change, by the process that made it."""
    if after.throttled_until is not None and before.throttled_until is None:
        log.info("a provider wants no calls for a while", provider=after.provider, until=str(after.throttled_until))
    if before.state is after.state:
        return
    details = {"provider": after.provider, "reason": after.reason}
    if after.state is CircuitState.OPEN and before.state is CircuitState.CLOSED:
        log.error("a provider's circuit is open; its messages go elsewhere or wait", **details)
    elif after.state is CircuitState.CLOSED:
        log.warning("a provider is well again", provider=after.provider)
    else:
        log.info("a provider's circuit moved", state=str(after.state), **details)
