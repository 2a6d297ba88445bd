"""Call a provider once for a claimed attempt, unless the call may have been made before. Used by `deliver`."""

import asyncio
import time
from collections.abc import Mapping

from domain.messages import DeliverInput
from domain.outgoing_messages import OutgoingMessage
from metrics.attempts import observe_call, observe_first_attempt
from providers.base import Provider
from providers.outcomes import ProviderError, ProviderOutcome, TemporaryError, UnknownOutcome
from rendering.tracking import Tracker
from services.circuits import CircuitMonitor, ObservedCall
from services.outgoing_messages import outgoing_message_of
from services.unsubscribing import UnsubscribeLinks
from storage.attempts import AttemptClaim

STALLED_AFTER = 4.0  # seconds; less than the activity timeout adds to the provider's deadline


class ProviderCaller:
    def __init__(
        self,
        providers: Mapping[str, Provider],
        circuits: CircuitMonitor,
        tracker: Tracker,
        unsubscribe_links: UnsubscribeLinks,
    ) -> None:
        self._providers = providers
        self._circuits = circuits
        self._tracker = tracker
        self._unsubscribe_links = unsubscribe_links

    async def call(self, call: DeliverInput, claim: AttemptClaim, started: float) -> ProviderOutcome:
        """Return the outcome. `started` is the start of the activity, from `time.monotonic`."""
        provider = self._providers.get(call.provider)
        if claim.is_new and time.monotonic() - started > STALLED_AFTER:
            # The process stopped between the row and the call: another worker may have recorded unknown. The socket is
            # not open.
            return TemporaryError("stalled")
        if claim.is_new and claim.predates_restore and not (provider is not None and provider.idempotent):
            # The database was restored to a state before this call, which may have been made: the outcome is unknown.
            return UnknownOutcome("restored")
        may_repeat = provider is not None and provider.idempotent and claim.address.is_decrypted
        if provider is not None and (claim.is_new or (may_repeat and not claim.attempt.was_sent)):
            observe_first_attempt(claim.ledger, claim.priority, claim.waited)
            return await self._send(provider, self._complete(outgoing_message_of(call, claim), provider, claim))
        # The row was written and no outcome recorded: a worker called, or died just before the call. Never call again.
        return UnknownOutcome("worker_lost")

    def _complete(self, message: OutgoingMessage, provider: Provider, claim: AttemptClaim) -> OutgoingMessage:
        """Add the links that the stored content does not have."""
        with_link = self._unsubscribe_links.add_link(message, claim.notification_type)
        return self._tracker.add_tracking(with_link, provider.name, claim.notification_type.tracking)

    async def _send(self, provider: Provider, message: OutgoingMessage) -> ProviderOutcome:
        started = time.monotonic()
        outcome = await send_once(provider, message)
        observe_call(provider.name, time.monotonic() - started)
        call = ObservedCall(
            provider=provider.name,
            delivery_id=message.delivery_id,
            recipient=f"{message.tenant} {message.recipient_id}",
            outcome=outcome,
            deadline_share=(time.monotonic() - started) / provider.deadline,
            started=started,
        )
        if provider.has_circuit:
            self._circuits.record_call(call)
        return outcome


async def send_once(provider: Provider, message: OutgoingMessage) -> ProviderOutcome:
    """Make one attempt within the adapter's deadline. Any error except ProviderError is internal: after a database
    failure Temporal retries `deliver`, which finds the row and returns unknown; a bug ends the workflow as internal."""
    try:
        async with asyncio.timeout(provider.deadline):
            return await provider.send(message)
    except TimeoutError:
        return UnknownOutcome("timeout")
    except ProviderError as error:
        return error
