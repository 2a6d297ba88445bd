"""Record the outcome of a call in one transaction, together with receipts that arrived before."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from domain.clock import now
from domain.evidence import CallResult, Evidence
from domain.ledger import await_evidence, finish_notification, record_outcome
from domain.messages import DeliverInput, DeliverResult
from domain.names import attempt_id
from domain.notification_overview import ARRIVED_STATUSES
from domain.records import Ledger
from domain.suppressions import with_suppression_events
from metrics.attempts import KeptOutcome, count_recording_failure
from providers.base import Provider
from providers.outcomes import ProviderAcceptance, ProviderOutcome
from services.outcome_translation import (
    attempt_state,
    attempt_with_outcome,
    bare_outcome,
    next_at,
    result_from_attempt,
    retry_delay,
)
from storage import devices, receipts
from storage.attempts import AttemptClaim, claim_message
from storage.connections import DATABASE_ERRORS, is_permanent
from storage.database import LOCK_TIMEOUT, Database
from storage.ledgers import NotificationRef, amend, save
from storage.receipts import StoredReceipt, with_receipts
from storage.statements import Executor

InvalidDevice = tuple[UUID, dict[str, Any], datetime]
log = structlog.get_logger(__name__)


class OutcomeRecorder:
    def __init__(self, database: Database, providers: Mapping[str, Provider]) -> None:
        self._database = database
        self._providers = providers

    async def record(
        self,
        call: DeliverInput,
        outcome: ProviderOutcome,
        known_ledger: Ledger | None = None,
        invalid_device: InvalidDevice | None = None,
        at: datetime | None = None,
    ) -> DeliverResult:
        """Record an outcome. `invalid_device` is a device whose token is permanently invalid. If the response can never
        be recorded, record the outcome alone. If that fails too, the attempt stays without an outcome and the
        notification ends in doubt."""
        try:
            return await self._store_outcome(call, outcome, known_ledger, invalid_device, at or now())
        except DATABASE_ERRORS as error:
            if not is_permanent(error):
                raise
            self._report("an answer cannot be recorded; its outcome alone is", KeptOutcome.OUTCOME, call, error)
        bare = bare_outcome(outcome.result, outcome.reason, retry_delay(outcome))
        try:
            return await self._store_outcome(call, bare, None, None, at or now())
        except DATABASE_ERRORS as error:
            if is_permanent(error):
                problem = "an outcome cannot be recorded; the notification is in doubt"
                self._report(problem, KeptOutcome.NOTHING, call, error)
            raise

    @staticmethod
    def _report(problem: str, kept: KeptOutcome, call: DeliverInput, error: Exception) -> None:
        """Count and log a bug in our code or an adapter, for an alert. The error's message may quote values and is not
        logged."""
        count_recording_failure(kept)
        log.error(
            problem,
            notification_id=str(call.notification_id),
            provider=call.provider,
            attempt=call.attempt_number,
            error=type(error).__name__,
        )

    async def _store_outcome(
        self,
        call: DeliverInput,
        outcome: ProviderOutcome,
        known_ledger: Ledger | None,
        invalid_device: InvalidDevice | None,
        at: datetime,
    ) -> DeliverResult:
        if known_ledger is not None and known_ledger.revision > 0 and outcome.result is CallResult.ACCEPTED:
            async with self._database.statement() as session:
                if after := await self._store_plain_acceptance(session, call, outcome, known_ledger, at):
                    return _result_of(after, call, outcome)
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            after = await self._store_with_receipts(session, call, outcome, known_ledger, at)
            if invalid_device is not None:
                await devices.remove_invalid(session, call.tenant, *invalid_device)
        return _result_of(after, call, outcome)

    async def _store_plain_acceptance(
        self, session: Executor, call: DeliverInput, outcome: ProviderOutcome, known_ledger: Ledger, at: datetime
    ) -> Ledger | None:
        """Write the usual case in one statement. Return None, and write nothing, if receipts came before the
        outcome, or if another transaction locked or changed the rows since the guard."""
        after = _ledger_with_outcome(known_ledger, call, outcome, [], at, None)
        if after is known_ledger:
            return None
        is_saved = await save(session, known_ledger, after, provider=call.provider, message_id=outcome.message_id)
        return after if is_saved else None

    async def record_found_message(
        self, call: DeliverInput, found: ProviderAcceptance, claim: AttemptClaim
    ) -> DeliverResult | None:
        """Record a message that the vendor has. Return None if it belongs to another attempt: the same content may
        have been sent to this address twice."""
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            if found.message_id and not await claim_message(session, claim.attempt, found.message_id):
                return None
            after = await self._store_with_receipts(session, call, found, claim.ledger, claim.now)
        return _result_of(after, call, found)

    async def _store_with_receipts(
        self, session: Executor, call: DeliverInput, outcome: ProviderOutcome, known_ledger: Ledger | None, at: datetime
    ) -> Ledger:
        """Write the rows in one statement, unless they changed since the guard. A bounce that arrived before the
        outcome must not end the notification. `at` is from the database clock if known: waits count from it, and a
        worker's clock may be a day off."""
        attempt_uuid = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
        ref = NotificationRef(notification_id=call.notification_id, tenant=call.tenant)
        early_receipts: list[StoredReceipt] = []
        refusal = outcome.reason if outcome.result is CallResult.REFUSED else None
        provider = self._providers.get(call.provider)
        settles_within = timedelta(seconds=0 if provider is None else provider.settle_window)
        due = next_at(call, outcome, at, settles_within)

        if outcome.message_id and provider is not None and provider.parses_receipts():
            early_receipts += await receipts.find_early(session, call.provider, outcome.message_id)
        found = await receipts.update_suppressions(session, ref, attempt_uuid, early_receipts, refusal)

        def change(ledger: Ledger) -> Ledger:
            return with_suppression_events(
                _ledger_with_outcome(ledger, call, outcome, early_receipts, at, due), attempt_uuid, found, at
            )

        after = await amend(session, ref, change, known_ledger)
        if early_receipts:
            await receipts.mark_applied(session, early_receipts, attempt_uuid)
        return after


def _result_of(after: Ledger, call: DeliverInput, outcome: ProviderOutcome) -> DeliverResult:
    attempt_uuid = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
    return result_from_attempt(after, after.attempts[attempt_uuid], retry_delay(outcome))


def _ledger_with_outcome(
    ledger: Ledger,
    call: DeliverInput,
    outcome: ProviderOutcome,
    early_receipts: list[StoredReceipt],
    at: datetime,
    due: datetime | None,
) -> Ledger:
    """Return the ledger after the outcome. `due` is the time of the next attempt."""
    attempt_uuid = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
    attempt = attempt_with_outcome(ledger.attempts[attempt_uuid], outcome, due)
    after = with_receipts(record_outcome(ledger, attempt, attempt_state(outcome), at), attempt_uuid, early_receipts, at)
    return _finish_or_await(after, call, outcome.result, at)


def _finish_or_await(ledger: Ledger, call: DeliverInput, result: CallResult, at: datetime) -> Ledger:
    """Finish the notification if nothing remains to be done, or begin the wait that the workflow starts next. After
    a redrive do neither."""
    if ledger.generation != call.generation:
        return ledger
    if result is CallResult.UNKNOWN and call.waits_for_evidence:
        return await_evidence(ledger, call.delivery_id, Evidence.SENT)
    if ledger.deliveries[call.delivery_id].status not in ARRIVED_STATUSES:
        return ledger
    if call.goal is not None:
        return await_evidence(ledger, call.delivery_id, call.goal)
    return finish_notification(ledger, at) if call.finishes_notification else ledger
