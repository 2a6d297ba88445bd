"""Call a provider once for a claimed attempt, unless the call may have been made before. Used by `deliver`."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from domain.channels import Channel
from domain.evidence import CallResult
from domain.messages import DeliverInput
from domain.outgoing_messages import OutgoingMessage
from domain.records import AttemptRecord
from domain.repeated_calls import REPEAT_TOO_LATE, RESTORED, find_repeated_call, is_repeatable
from metrics.attempts import observe_call, observe_first_attempt
from providers.base import Provider
from providers.outcomes import ProviderError, ProviderOutcome, TemporaryError, UnknownOutcome
from rendering.tracking import Tracker
from services.circuits import CircuitMonitor, ObservedCall
from services.email_attachments import AttachmentLoader, AttachmentsUnavailable, attachment_ids_of
from services.email_copies import CopyFilter
from services.outgoing_messages import outgoing_message_of
from services.unsubscribing import UnsubscribeLinks
from storage.attempts import AttemptClaim
from storage.database import Database

STALLED_AFTER = 4.0  # seconds; less than the activity timeout adds to the provider's deadline


class ProviderCaller:
    def __init__(
        self,
        providers: Mapping[str, Provider],
        circuits: CircuitMonitor,
        tracker: Tracker,
        unsubscribe_links: UnsubscribeLinks,
        database: Database,
    ) -> None:
        self._providers = providers
        self._circuits = circuits
        self._tracker = tracker
        self._unsubscribe_links = unsubscribe_links
        self._copies = CopyFilter(database)
        self._attachments = AttachmentLoader(database)

    async def call(self, call: DeliverInput, claim: AttemptClaim, started: float) -> ProviderOutcome:
        """Return the outcome. `started` is the start of the activity, from `time.monotonic`."""
        provider = self._providers.get(call.provider)
        repeated = None if provider is None else repeated_call(provider, claim)
        if obstacle := find_obstacle(call, claim, provider, repeated, time.monotonic() - started):
            return obstacle
        if provider is None or not (claim.is_new or may_call_again(call, claim, provider, repeated)):
            # The row was written and no outcome recorded: a worker called, or died just before the call. Never call
            # again.
            return UnknownOutcome("worker_lost")
        observe_first_attempt(claim.ledger, claim.priority, claim.waited)
        message = outgoing_message_of(call, claim)
        if repeated is None:
            return await self._send_complete(provider, message, claim)
        repetition = replace(message, attempt_id=repeated.id)
        outcome = await self._send_complete(provider, repetition, claim)
        return outcome if outcome.result is CallResult.ACCEPTED else unknown_repetition(outcome)

    async def _send_complete(
        self, provider: Provider, message: OutgoingMessage, claim: AttemptClaim
    ) -> ProviderOutcome:
        """Send the message with its links and attachments, to its copies that are not suppressed."""
        ids = attachment_ids_of(claim.email.given) if message.channel is Channel.EMAIL else []
        try:
            allowed = await self._copies.without_suppressed(message)
            async with self._attachments.loaded(self._complete(allowed, provider, claim), ids) as complete:
                return await self._send(provider, complete)
        except TemporaryError as error:
            return error
        except AttachmentsUnavailable as error:
            return error.outcome

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


def find_obstacle(
    call: DeliverInput,
    claim: AttemptClaim,
    provider: Provider | None,
    repeated: AttemptRecord | None,
    activity_age: float,
) -> ProviderOutcome | None:
    """Return the outcome of a new attempt that must not be called, or None."""
    if not claim.is_new:
        return None
    if activity_age > STALLED_AFTER:
        # The process stopped between the row and the call: another worker may have recorded unknown. The socket is
        # not open.
        return UnknownOutcome("stalled") if call.must_repeat else TemporaryError("stalled")
    if claim.predates_restore and not (provider is not None and provider.idempotent):
        # The database was restored to a state before this call, which may have been made: the outcome is unknown.
        return UnknownOutcome(RESTORED)
    return UnknownOutcome(REPEAT_TOO_LATE) if call.must_repeat and repeated is None else None


def may_call_again(call: DeliverInput, claim: AttemptClaim, provider: Provider, repeated: AttemptRecord | None) -> bool:
    """Return whether an attempt without a recorded outcome, which may have been called, may be called again."""
    was_sent = claim.ledger.find_sent_attempt(call.delivery_id, call.endpoint_id) is not None
    return (provider.idempotent or repeated is not None) and claim.address.is_decrypted and not was_sent


def repeated_call(provider: Provider, claim: AttemptClaim) -> AttemptRecord | None:
    """Return the call that this one repeats: an earlier attempt, or the same one after the loss of a worker. Return
    None if the provider may not recognize it until the end of the call."""
    first = find_repeated_call(claim.ledger, claim.attempt) or (None if claim.is_new else claim.attempt)
    ends = claim.now + timedelta(seconds=provider.deadline)
    return first if first and is_repeatable(first.started_at, provider.idempotency_window, ends) else None


def unknown_repetition(outcome: ProviderOutcome) -> UnknownOutcome:
    """Return the outcome of a repetition that was not accepted: it proves nothing about the first call."""
    return UnknownOutcome(outcome.reason or "", outcome.response, outcome.retry_after)


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
