"""Implement `look_up`, which finds out whether a provider has the message of a call with an unknown outcome, and
`record_outcome`, which records an outcome that `deliver` could not record."""

import asyncio
from collections.abc import Mapping

from temporalio import activity

from domain.evidence import AttemptState, CallResult
from domain.messages import LOOKUP_REFUSED, DeliverInput, DeliverResult, LookUpInput, RecordInput
from domain.records import AttemptRecord
from providers.base import Provider
from providers.outcomes import LookupRefused, ProviderError, TemporaryError
from services.outcome_recording import OutcomeRecorder
from services.outcome_translation import bare_outcome, result_from_attempt
from services.outgoing_messages import outgoing_message_of
from storage import provider_health
from storage.attempts import AttemptClaim, claim_attempt, has_concurrent_call
from storage.database import LOCK_TIMEOUT, Database

PROVED_ABSENT = TemporaryError("proved_absent")


class ReconciliationActivities:
    """Look up messages. Provider responses and impossible lookups are return values; only our own errors are raised."""

    def __init__(self, database: Database, providers: Mapping[str, Provider], recorder: OutcomeRecorder) -> None:
        self._database = database
        self._providers = providers
        self._recorder = recorder

    @activity.defn
    async def look_up(self, request: LookUpInput) -> DeliverResult:
        """Return the result of the attempt as it is known now, or `unknown`."""
        claim = await self._read_claim(request.call)
        if claim is None:
            return DeliverResult(result=CallResult.UNKNOWN, reason="recipient_erased")
        if claim.attempt.state is AttemptState.UNKNOWN and not claim.attempt.was_sent:
            return await self._look_up_at_provider(request, claim) or result_from_attempt(claim.ledger, claim.attempt)
        return result_from_attempt(claim.ledger, claim.attempt)

    @activity.defn
    async def record_outcome(self, request: RecordInput) -> DeliverResult:
        """Record an outcome that `deliver` could not record because the database became unavailable after the call.
        An invalid device stays: the vendor will report it again."""
        given = request.outcome
        outcome = bare_outcome(given.result, given.reason, given.retry_after, given.provider_message_id)
        return await self._recorder.record(request.call, outcome)

    async def _read_claim(self, call: DeliverInput) -> AttemptClaim | None:
        """Run the claim statement, and roll it back: a lookup writes no attempt."""
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            claim = await claim_attempt(session, call)
            await session.rollback()
        return claim

    async def _look_up_at_provider(self, request: LookUpInput, claim: AttemptClaim) -> DeliverResult | None:
        """Return None while the outcome is undecided. A missing message proves absence only after the settle window
        of the vendor's records."""
        provider = self._providers.get(claim.attempt.provider)
        if provider is None or provider.lookup == "none" or claim.started_at is None:
            return None
        if not claim.is_same_address or not claim.address.is_decrypted:
            return None  # The lookup uses the recipient's present address, and the message went to another one.
        try:
            async with asyncio.timeout(provider.deadline):
                found = await provider.look_up(outgoing_message_of(request.call, claim), claim.started_at)
        except LookupRefused:
            return await self._remember_refusal(claim.attempt)
        except (ProviderError, TimeoutError) as error:
            activity.logger.warning("a lookup failed", extra={"error": type(error).__name__})
            return None
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            await provider_health.record_lookup_allowed(session, provider.name)
        if found and await self._has_rival(claim):
            return None
        for accepted in found:
            if recorded := await self._recorder.record_found_message(request.call, accepted, claim):
                return recorded
        if request.final and provider.lookup == "definitive":
            return await self._recorder.record(request.call, PROVED_ABSENT, claim.ledger, at=claim.now)
        return None

    async def _remember_refusal(self, attempt: AttemptRecord) -> DeliverResult:
        """Record the refusal for all processes. If another attempt is refused too, the provider counts as one
        without lookup."""
        activity.logger.warning("the account may not look up messages", extra={"provider": attempt.provider})
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            await provider_health.record_lookup_refused(session, attempt.provider, attempt.id)
        return DeliverResult(result=CallResult.UNKNOWN, reason=LOOKUP_REFUSED, provider=attempt.provider)

    async def _has_rival(self, claim: AttemptClaim) -> bool:
        """Return whether another call may have sent the message that was found. Runs after the lookup: a call that
        begins later cannot have sent it."""
        async with self._database.statement() as session:
            return await has_concurrent_call(session, claim.attempt)
