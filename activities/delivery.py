"""`deliver`: guard, send, record, in that order and idempotently. One call to one provider for one endpoint."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from temporalio import activity

from activities.circuits import Call, Circuits
from activities.outcomes import Told, told
from activities.outgoing import dead_device, message_of
from activities.recording import Recording
from activities.refusals import UNREADABLE_ADDRESS, gate_of, result_without_call, stopped
from domain.holds import Held
from domain.messages import DeliverInput, DeliverResult, Gate, Result
from domain.names import NOTIFICATIONS_QUEUE
from domain.outgoing import Message
from domain.reasons import Reason
from domain.records import Verdict
from domain.statuses import DeliveryStatus
from metrics.attempts import count_attempt, count_unreadable_address, observe_call, observe_first_attempt
from metrics.engine import Limit, limit_reached
from providers.base import Provider
from providers.outcomes import ProviderError, Temporary, Unknown
from rendering.tracking import Tracker
from storage import gates, holds, processes
from storage.attempts import Claim, claim_attempt
from storage.call_addresses import note_device_skipped
from storage.claims import free_slot
from storage.database import LOCK_TIMEOUT, Database
from storage.ledgers import Key
from storage.outages import DATABASE_ERRORS, is_permanent
from storage.statements import Executor

ERASED = Verdict(status=DeliveryStatus.SKIPPED, reason=Reason("recipient_erased"))
ELSEWHERE = DeliverResult(result=Result.ELSEWHERE)
# Calls of one provider on the shared queue at a time, half of what the worker runs there: a vendor that hangs leaves
# the other half to the rest, and its own further calls wait in its own queue.
SHARED_CALLS = 50
STALLED_AFTER = 4.0  # seconds; less than what the activity's time-out adds to the provider's deadline


class Delivering:
    """Raises only our own errors (database away), which Temporal retries without limit; the provider's are values."""

    def __init__(
        self,
        database: Database,
        providers: Mapping[str, Provider],
        circuits: Circuits,
        recording: Recording,
        tracker: Tracker,
        rates: Mapping[str, float],
    ) -> None:
        self._database = database
        self._providers = providers
        self._circuits = circuits
        self._recording = recording
        self._tracker = tracker
        self._rates = rates
        self._under_way: Counter[str] = Counter()

    @activity.defn
    async def deliver(self, call: DeliverInput) -> DeliverResult:
        """On the queue that all providers without a rate share, `elsewhere` for calls that need the provider's own."""
        if not _on_shared_queue():
            return await self._deliver(call)
        if self._under_way[call.provider] >= SHARED_CALLS:
            limit_reached(Limit.PROVIDER_CALLS)
            return await self._send_elsewhere(call)
        self._under_way[call.provider] += 1
        try:
            return await self._deliver(call)
        finally:
            self._under_way[call.provider] -= 1

    async def _send_elsewhere(self, call: DeliverInput) -> DeliverResult:
        async with self._database.statement() as session:
            await free_slot(session, call.notification_id, call.generation)
        return ELSEWHERE

    async def _deliver(self, call: DeliverInput) -> DeliverResult:
        began = time.monotonic()
        claim = await self._claim(call)
        if isinstance(claim, DeliverResult):
            return await self._send_elsewhere(call) if claim is ELSEWHERE else claim
        claimed = time.monotonic()
        outcome = await self._ask(call, claim, began)
        count_attempt(call.provider, call.channel, outcome.state, outcome.result.reason)
        dead = dead_device(call, claim) if outcome.gone else None
        answered = claim.now + timedelta(seconds=time.monotonic() - claimed)
        try:
            return await self._recording.record(call, outcome, claim.ledger, dead, answered)
        except DATABASE_ERRORS as error:
            if is_permanent(error):
                raise
            activity.logger.warning("outcome not recorded, the workflow will", extra={"attempt": str(claim.attempt.id)})
            return replace(outcome.result, recorded=False)

    async def _claim(self, call: DeliverInput) -> Claim | DeliverResult:
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            claim = await claim_attempt(session, call)
            if claim is None:
                return stopped(ERASED)
            refusal = (
                result_without_call(call, claim)
                or await self._unconfigured(session, call, claim)
                or self._elsewhere(call, claim)
            )
            gate = None if refusal else gate_of(claim)
            held = None if refusal or gate else await self._held(session, call, claim)
            if refusal is not None or gate is not None or held is not None:
                await session.rollback()
        if refusal is not None and refusal.reason == UNREADABLE_ADDRESS.reason.code:
            await self._note_unreadable(call)
        if gate is not None:
            return await self._wait(call, gate)
        return refusal or (await self._hold_back(call, held) if held else claim)

    async def _note_unreadable(self, call: DeliverInput) -> None:
        """Of a channel's one address the failed delivery tells it; of one device among several nothing else would."""
        count_unreadable_address(call.channel)
        if call.endpoint_id != call.channel:
            async with self._database.statement() as session:
                await note_device_skipped(session, call)

    async def _unconfigured(self, session: Executor, call: DeliverInput, claim: Claim) -> DeliverResult | None:
        """Plans may wait for weeks, and processes differ while their settings are changed: another one may have the
        provider, unless none does after minutes in its queue."""
        if call.provider in self._providers or not claim.fresh:
            return None
        if call.unserved and await processes.is_absent(session, call.provider):
            return DeliverResult(result=Result.PERMANENT, reason="not_configured", provider=call.provider)
        return ELSEWHERE

    def _elsewhere(self, call: DeliverInput, claim: Claim) -> DeliverResult | None:
        """The plan knew no rate, and one has been set since: the server holds it on the provider's own queue only."""
        limits = claim.limits.over(self._rates.get(call.provider, 0))
        return ELSEWHERE if claim.fresh and limits.is_limited and _on_shared_queue() else None

    async def _held(self, session: Executor, call: DeliverInput, claim: Claim) -> Held | None:
        """Asked for calls that would really be made."""
        if not claim.fresh:
            return None
        return claim.held or await self._circuits.held(session, call.provider, claim.now)

    async def _hold_back(self, call: DeliverInput, held: Held) -> DeliverResult:
        """In a transaction of its own: the claim was never there."""
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            if call.others and not held.by_hand:
                await holds.note_reroute(session, call, held)
                return DeliverResult(result=Result.REROUTED, reason=held.reason.code, args=held.reason.args)
            await holds.mark_held(session, call, held)
        return DeliverResult(result=Result.HELD, reason=held.reason.code, args=held.reason.args)

    async def _wait(self, call: DeliverInput, gate: Gate) -> DeliverResult:
        """In a transaction of its own, as above."""
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            key = Key(notification_id=call.notification_id, tenant=call.tenant)
            await gates.wait(session, key, call.generation, gate)
        return DeliverResult(result=Result.HELD, reason=gate.reason, until=gate.until)

    async def _ask(self, call: DeliverInput, claim: Claim, began: float) -> Told:
        provider = self._providers.get(call.provider)
        if claim.fresh and time.monotonic() - began > STALLED_AFTER:
            # Stopped between the row and the call: by now another worker may have said unknown. The socket is not open.
            return told(Temporary("stalled"))
        if claim.fresh and claim.restored and not (provider is not None and provider.idempotent):
            # The database was restored to a state before this call, which may have been made: nobody knows.
            return told(Unknown("restored"))
        again = provider is not None and provider.idempotent and claim.address.is_decrypted
        if provider is not None and (claim.fresh or (again and not claim.attempt.reached)):
            observe_first_attempt(claim.ledger, claim.priority, claim.waited)
            message = self._tracker.tracked(message_of(call, claim), provider.name, claim.kind.tracking)
            return await self._send(provider, message)
        # The row was written and no answer recorded: somebody called, or died just before. Never call again.
        return told(Unknown("worker_lost"))

    async def _send(self, provider: Provider, message: Message) -> Told:
        began = time.monotonic()
        outcome = await _sent(provider, message)
        observe_call(provider.name, time.monotonic() - began)
        call = Call(
            provider=provider.name,
            delivery_id=message.delivery_id,
            person=f"{message.tenant} {message.recipient_id}",
            result=outcome.result.result,
            reason=outcome.result.reason,
            share=(time.monotonic() - began) / provider.deadline,
            began=began,
            retry_after=outcome.result.retry_after,
        )
        if provider.has_circuit:
            self._circuits.note(call)
        return outcome


def _on_shared_queue() -> bool:
    return activity.info().task_queue == NOTIFICATIONS_QUEUE


async def _sent(provider: Provider, message: Message) -> Told:
    """One try under the adapter's deadline. An error that is not the provider's is ours: if the database went away,
    Temporal tries `deliver` again, which finds the row and says unknown; a bug ends the workflow as internal."""
    try:
        async with asyncio.timeout(provider.deadline):
            return told(await provider.send(message))
    except TimeoutError:
        return told(Unknown("timeout"))
    except ProviderError as error:
        return told(error)
