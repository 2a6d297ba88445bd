"""Writes down what a call came to: one transaction, with what receipts have said already."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from temporalio import activity

from activities.outcomes import Told, next_at, result_of, told
from domain.clock import now
from domain.evidence import Evidence
from domain.ledger import await_evidence, finish, record_outcome
from domain.messages import DeliverInput, DeliverResult, RecordInput, Result
from domain.names import attempt_id
from domain.overview import ARRIVED
from domain.records import Ledger
from domain.suppressions import Finding, noted
from metrics.attempts import Kept, count_recording_failure
from providers.base import Provider
from providers.outcomes import Accepted
from storage import devices, receipts
from storage.attempts import Claim
from storage.database import LOCK_TIMEOUT, Database
from storage.found_messages import take_message
from storage.ledgers import Key, amend
from storage.outages import DATABASE_ERRORS, is_permanent
from storage.receipts import StoredReceipt, with_receipts
from storage.statements import Executor

Device = tuple[UUID, dict[str, Any]]
log = structlog.get_logger(__name__)


class Recording:
    def __init__(self, database: Database, providers: Mapping[str, Provider]) -> None:
        self._database = database
        self._providers = providers

    @activity.defn
    async def record_outcome(self, late: RecordInput) -> DeliverResult:
        """What `deliver` could not write down itself, because the database went away after the provider's answer. A
        device that is gone stays: the vendor will say so again."""
        return await self.record(late.call, Told(result=late.outcome))

    async def record(
        self,
        call: DeliverInput,
        outcome: Told,
        seen: Ledger | None = None,
        dead: Device | None = None,
        at: datetime | None = None,
    ) -> DeliverResult:
        """`dead` is a device whose token will never work again. If the answer can never be recorded, only its outcome
        is. If that cannot be either, the attempt stays without an answer, and the notification ends in doubt."""
        try:
            return await self._record(call, outcome, seen, dead, at or now())
        except DATABASE_ERRORS as error:
            if not is_permanent(error):
                raise
            self._report("an answer cannot be recorded; its outcome alone is", Kept.OUTCOME, call, error)
        try:
            return await self._record(call, outcome.bare, None, None, at or now())
        except DATABASE_ERRORS as error:
            if is_permanent(error):
                problem = "an outcome cannot be recorded; the notification is in doubt"
                self._report(problem, Kept.NOTHING, call, error)
            raise

    @staticmethod
    def _report(problem: str, kept: Kept, call: DeliverInput, error: Exception) -> None:
        """For an alert: it is a bug of ours or of an adapter. The message of the error may quote values."""
        count_recording_failure(kept)
        log.error(
            problem,
            notification_id=str(call.notification_id),
            provider=call.provider,
            attempt=call.attempt_number,
            error=type(error).__name__,
        )

    async def _record(
        self, call: DeliverInput, outcome: Told, seen: Ledger | None, dead: Device | None, at: datetime
    ) -> DeliverResult:
        if seen is not None and seen.revision > 0 and outcome.result.result is Result.ACCEPTED:
            async with self._database.statement() as session:
                if after := await self._write_accepted(session, call, outcome, seen, at):
                    return _answer(after, call, outcome)
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            after = await self._write(session, call, outcome, seen, at)
            if dead is not None:
                await devices.remove_dead(session, call.tenant, *dead)
        return _answer(after, call, outcome)

    async def _write_accepted(
        self, session: Executor, call: DeliverInput, outcome: Told, seen: Ledger, at: datetime
    ) -> Ledger | None:
        """Write the usual case in one statement. None, and nothing written, if receipts came before the answer, or
        another transaction has locked the rows or wrote to them since the guard."""
        after, message_id = _recorded(seen, call, outcome, [], at, None), outcome.result.provider_message_id
        if after is seen or not await receipts.save_unreported(session, seen, after, call.provider, message_id):
            return None
        return after

    async def record_found(self, call: DeliverInput, found: Accepted, claim: Claim) -> DeliverResult | None:
        """What the vendor has of a call whose answer was lost. None: it is another attempt's, since the same words may
        have gone to this address twice."""
        outcome = told(found)
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            if found.message_id and not await take_message(session, claim.attempt, found.message_id):
                return None
            after = await self._write(session, call, outcome, claim.ledger, claim.now)
        return _answer(after, call, outcome)

    async def _write(
        self, session: Executor, call: DeliverInput, outcome: Told, seen: Ledger | None, at: datetime
    ) -> Ledger:
        """A bounce that was faster than our own record must not end the notification. One statement for the rows,
        unless somebody else wrote to them since the guard. `at` is by the database's clock, where that is known: waits
        count from there, and a worker's own clock may be a day off."""
        ident = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
        key = Key(notification_id=call.notification_id, tenant=call.tenant)
        early: list[StoredReceipt] = []
        found: list[Finding] = []

        provider = self._providers.get(call.provider)
        settles_within = timedelta(seconds=0 if provider is None else provider.settle_window)
        due = next_at(call, outcome.result, at, settles_within)

        def change(ledger: Ledger) -> Ledger:
            return noted(_recorded(ledger, call, outcome, early, at, due), ident, found, at)

        if outcome.result.provider_message_id and provider is not None and provider.parses_receipts:
            early += await receipts.early(session, call.provider, outcome.result.provider_message_id)
        found += await receipts.suppress(session, key, ident, early, outcome.refusal)
        after = await amend(session, key, change, seen)
        if early:
            await receipts.mark_applied(session, early, ident)
        return after


def _answer(after: Ledger, call: DeliverInput, outcome: Told) -> DeliverResult:
    ident = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
    return result_of(after, after.attempts[ident], outcome.result.retry_after)


def _recorded(
    ledger: Ledger, call: DeliverInput, outcome: Told, early: list[StoredReceipt], at: datetime, due: datetime | None
) -> Ledger:
    """`due` is when the next attempt is."""
    ident = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
    attempt = outcome.onto(ledger.attempts[ident], due)
    after = with_receipts(record_outcome(ledger, attempt, outcome.state, at), ident, early, at)
    return _concluded(after, call, outcome.result.result, at)


def _concluded(ledger: Ledger, call: DeliverInput, result: Result, at: datetime) -> Ledger:
    """The end, where nothing else is to be done; or the wait that the workflow is about to begin. After a redrive
    neither is this call's any more."""
    if ledger.generation != call.generation:
        return ledger
    if result is Result.UNKNOWN and call.reconciles:
        return await_evidence(ledger, call.delivery_id, Evidence.SENT)
    if ledger.deliveries[call.delivery_id].status not in ARRIVED:
        return ledger
    if call.goal is not None:
        return await_evidence(ledger, call.delivery_id, call.goal)
    return finish(ledger, at) if call.ends else ledger
