"""Implement `deliver`: claim if allowed, call, record, in that order and idempotently. One call to one provider for one
endpoint."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

from temporalio import activity

from domain.evidence import CallResult
from domain.gates import Gate
from domain.holds import DeliveryHold
from domain.messages import DeliverInput, DeliverResult, NoCallResult
from domain.names import NOTIFICATIONS_QUEUE
from domain.reasons import Reason
from domain.records import DeliveryDecision
from domain.statuses import DeliveryStatus
from metrics.attempts import count_attempt, count_unreadable_address
from metrics.engine import ReachedLimit, count_limit_reached
from providers.base import Provider
from services.circuits import CircuitMonitor
from services.delivery_guard import (
    UNREADABLE_ADDRESS,
    result_if_kind_changed,
    result_without_call,
    stopped_result,
    time_gate_of,
)
from services.outcome_recording import OutcomeRecorder
from services.outcome_translation import attempt_state, unrecorded_result
from services.outgoing_messages import invalid_device_of
from services.provider_calls import ProviderCaller
from storage import gates, holds, processes
from storage.attempts import AttemptClaim, claim_attempt, record_skipped_device
from storage.claims import release_slot
from storage.connections import DATABASE_ERRORS, is_permanent
from storage.database import LOCK_TIMEOUT, Database
from storage.ledgers import NotificationRef
from storage.statements import Executor

RECIPIENT_ERASED = DeliveryDecision(status=DeliveryStatus.SKIPPED, reason=Reason("recipient_erased"))
NEEDS_PROVIDER_QUEUE = DeliverResult(result=NoCallResult.NEEDS_PROVIDER_QUEUE)
# Concurrent calls of one provider on the shared queue, half of the worker's slots there. A vendor that hangs leaves the
# other half to the others, and its further calls wait in its own queue.
MAX_SHARED_QUEUE_CALLS = 50


class DeliveryActivities:
    """Raise only our own errors (database unavailable), which Temporal retries without limit. The provider's errors
    are values. `on_slot_free` is called whenever a notification has released its slot."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, Provider],
        circuits: CircuitMonitor,
        recorder: OutcomeRecorder,
        provider_caller: ProviderCaller,
        rates: Mapping[str, float],
        on_slot_free: Callable[[], None],
    ) -> None:
        self._database = database
        self._providers = providers
        self._circuits = circuits
        self._recorder = recorder
        self._provider_caller = provider_caller
        self._rates = rates
        self._on_slot_free = on_slot_free
        self._calls_in_flight: Counter[str] = Counter()

    @activity.defn
    async def deliver(self, call: DeliverInput) -> DeliverResult:
        """Deliver one message. On the shared queue of providers without a rate, return `needs_provider_queue` for a
        call that belongs to the provider's own queue."""
        if not self._is_on_shared_queue():
            return await self._deliver(call)
        if self._calls_in_flight[call.provider] >= MAX_SHARED_QUEUE_CALLS:
            count_limit_reached(ReachedLimit.PROVIDER_CALLS)
            return await self._return_to_provider_queue(call)
        self._calls_in_flight[call.provider] += 1
        try:
            return await self._deliver(call)
        finally:
            self._calls_in_flight[call.provider] -= 1

    async def _return_to_provider_queue(self, call: DeliverInput) -> DeliverResult:
        async with self._database.statement() as session:
            await release_slot(session, call.notification_id, call.generation)
        self._on_slot_free()
        return NEEDS_PROVIDER_QUEUE

    async def _deliver(self, call: DeliverInput) -> DeliverResult:
        started = time.monotonic()
        claim = await self._claim_if_allowed(call)
        self._on_slot_free()
        if isinstance(claim, DeliverResult):
            return await self._return_to_provider_queue(call) if claim is NEEDS_PROVIDER_QUEUE else claim
        claimed_at = time.monotonic()
        outcome = await self._provider_caller.call(call, claim, started)
        count_attempt(call.provider, call.channel, attempt_state(outcome), outcome.reason)
        invalid_device = invalid_device_of(call, claim, outcome)
        answered_at = claim.now + timedelta(seconds=time.monotonic() - claimed_at)
        try:
            return await self._recorder.record(call, outcome, claim.ledger, invalid_device, answered_at)
        except DATABASE_ERRORS as error:
            if is_permanent(error):
                raise
            activity.logger.warning(
                "an outcome was not recorded; the workflow records it", extra={"attempt": str(claim.attempt.id)}
            )
            return unrecorded_result(outcome)

    async def _claim_if_allowed(self, call: DeliverInput) -> AttemptClaim | DeliverResult:
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            claim = await claim_attempt(session, call)
            if claim is None:
                return stopped_result(RECIPIENT_ERASED)
            obstacle = (
                result_without_call(call, claim)
                or result_if_kind_changed(self._providers.get(call.provider), claim)
                or await self._result_if_unconfigured(session, call, claim)
                or self._result_if_rate_limited(call, claim)
                or time_gate_of(claim)
                or await self._find_hold(session, call, claim)
            )
            if obstacle is None:
                return claim
            await session.rollback()
        return await self._record_obstacle(call, obstacle)

    async def _record_obstacle(
        self, call: DeliverInput, obstacle: DeliverResult | Gate | DeliveryHold
    ) -> DeliverResult:
        if isinstance(obstacle, Gate):
            return await self._wait_for_gate(call, obstacle)
        if isinstance(obstacle, DeliveryHold):
            return await self._hold_back(call, obstacle)
        if obstacle.reason == UNREADABLE_ADDRESS.reason.code:
            await self._note_unreadable(call)
        return obstacle

    async def _note_unreadable(self, call: DeliverInput) -> None:
        """Record an unreadable device address. An unreadable single address of a channel fails the delivery, which
        shows it."""
        count_unreadable_address(call.channel)
        if call.endpoint_id != call.channel:
            async with self._database.statement() as session:
                await record_skipped_device(session, call)

    async def _result_if_unconfigured(
        self, session: Executor, call: DeliverInput, claim: AttemptClaim
    ) -> DeliverResult | None:
        """Return the call to the provider's queue if this process does not have the provider. Plans may wait for
        weeks, and processes differ during a change of settings. Fail it if no live process has the provider after
        minutes in that queue."""
        if call.provider in self._providers or not claim.is_new:
            return None
        if call.is_unserved and await processes.is_provider_absent(session, call.provider):
            # A call before may have been accepted: no other provider may follow.
            result = CallResult.UNKNOWN if call.must_repeat else CallResult.PERMANENT
            return DeliverResult(result=result, reason="not_configured", provider=call.provider)
        return NEEDS_PROVIDER_QUEUE

    def _result_if_rate_limited(self, call: DeliverInput, claim: AttemptClaim) -> DeliverResult | None:
        """Return the call to the provider's queue if a rate was set after the plan was made: the server enforces the
        rate only there."""
        limits = claim.limits.effective(self._rates.get(call.provider, 0))
        return NEEDS_PROVIDER_QUEUE if claim.is_new and limits.is_limited and self._is_on_shared_queue() else None

    async def _find_hold(self, session: Executor, call: DeliverInput, claim: AttemptClaim) -> DeliveryHold | None:
        """Return the hold of a call that would be made."""
        if not claim.is_new:
            return None
        return claim.hold or await self._circuits.find_hold(session, call.provider, claim.now)

    async def _hold_back(self, call: DeliverInput, hold: DeliveryHold) -> DeliverResult:
        """Record the hold or the reroute in its own transaction. The claim was rolled back."""
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            if call.has_alternatives and not hold.is_manual:
                await holds.record_reroute(session, call, hold)
                return DeliverResult(result=NoCallResult.REROUTED, reason=hold.reason.code, args=hold.reason.args)
            await holds.mark_held(session, call, hold)
        return DeliverResult(result=NoCallResult.HELD, reason=hold.reason.code, args=hold.reason.args)

    async def _wait_for_gate(self, call: DeliverInput, gate: Gate) -> DeliverResult:
        """Record the wait in its own transaction. The claim was rolled back."""
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            ref = NotificationRef(notification_id=call.notification_id, tenant=call.tenant)
            await gates.wait_at_gate(session, ref, call.generation, gate)
        return DeliverResult(result=NoCallResult.HELD, reason=gate.reason, until=gate.until)

    @staticmethod
    def _is_on_shared_queue() -> bool:
        return activity.info().task_queue == NOTIFICATIONS_QUEUE
