"""`look_up`: whether a provider has what a call whose answer was lost may have brought it."""

import asyncio
from collections.abc import Mapping

from temporalio import activity

from activities.outcomes import result_of, told
from activities.outgoing import message_of
from activities.recording import Recording
from domain.evidence import AttemptState
from domain.messages import LOOKUP_REFUSED, DeliverInput, DeliverResult, LookUpInput, Result
from domain.records import Attempt
from providers.base import Provider
from providers.outcomes import LookupRefused, ProviderError, Temporary
from storage import provider_health
from storage.attempts import Claim, claim_attempt
from storage.database import LOCK_TIMEOUT, Database
from storage.found_messages import has_rival

PROVED_ABSENT = Temporary("proved_absent")


class Reconciling:
    """Raises only our own errors; what the provider says, or that it cannot be asked, is a value."""

    def __init__(self, database: Database, providers: Mapping[str, Provider], recording: Recording) -> None:
        self._database = database
        self._providers = providers
        self._recording = recording

    @activity.defn
    async def look_up(self, given: LookUpInput) -> DeliverResult:
        """The attempt's result as far as it is known by now; `unknown` while nobody can say."""
        claim = await self._read(given.call)
        if claim is None:
            return DeliverResult(result=Result.UNKNOWN, reason="recipient_erased")
        if claim.attempt.state is AttemptState.UNKNOWN and not claim.attempt.reached:
            return await self._ask(given, claim) or result_of(claim.ledger, claim.attempt)
        return result_of(claim.ledger, claim.attempt)

    async def _read(self, call: DeliverInput) -> Claim | None:
        """As the guard reads it, and nothing is written."""
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            claim = await claim_attempt(session, call)
            await session.rollback()
        return claim

    async def _ask(self, given: LookUpInput, claim: Claim) -> DeliverResult | None:
        """None: it is still open. That nothing is found proves something once the vendor's records have settled."""
        provider = self._providers.get(claim.attempt.provider)
        if provider is None or provider.lookup == "none" or claim.started_at is None:
            return None
        if not claim.same_address or not claim.address.is_decrypted:
            return None  # a vendor is asked by the address that the person has now, and it went to another
        try:
            async with asyncio.timeout(provider.deadline):
                found = await provider.look_up(message_of(given.call, claim), claim.started_at)
        except LookupRefused:
            return await self._remember_refusal(claim.attempt)
        except (ProviderError, TimeoutError) as error:
            activity.logger.warning("the provider could not be asked", extra={"error": type(error).__name__})
            return None
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            await provider_health.note_lookup_allowed(session, provider.name)
        if found and await self._has_rival(claim):
            return None
        for one in found:
            if taken := await self._recording.record_found(given.call, one, claim):
                return taken
        if given.final and provider.lookup == "definitive":
            return await self._recording.record(given.call, told(PROVED_ABSENT), claim.ledger, at=claim.now)
        return None

    async def _remember_refusal(self, attempt: Attempt) -> DeliverResult:
        """For all processes: refused for another attempt too, it is treated like a provider that cannot be asked."""
        activity.logger.warning("the account may not look up messages", extra={"provider": attempt.provider})
        async with self._database.quick_transaction(LOCK_TIMEOUT) as session:
            await provider_health.note_lookup_refused(session, attempt.provider, attempt.id)
        return DeliverResult(result=Result.UNKNOWN, reason=LOOKUP_REFUSED, provider=attempt.provider)

    async def _has_rival(self, claim: Claim) -> bool:
        """After the vendor was asked: a call that begins later has left nothing that was found."""
        async with self._database.statement() as session:
            return await has_rival(session, claim.attempt)
