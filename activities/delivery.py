"""`deliver`: guard, send, record, in that order and idempotently. One call to one provider for one endpoint."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from temporalio import activity

from activities.outcomes import Told, result_of, told
from domain.channels import Channel, DeviceKind
from domain.evidence import AttemptState
from domain.guard import stop
from domain.ledger import ARRIVED, OPEN, finish, record_outcome
from domain.messages import DeliverInput, DeliverResult, RecordInput, Result
from domain.names import attempt_id
from domain.outgoing import Message
from domain.records import Ledger, Verdict
from domain.routing import CONTACT_OF
from domain.statuses import DeliveryStatus
from providers.base import Provider
from providers.outcomes import ProviderError, Temporary, Unknown
from storage import devices, receipts
from storage.attempts import Claim, claim_attempt
from storage.database import DATABASE_DOWN, Database
from storage.ledgers import Key, amend
from storage.receipts import StoredReceipt, with_receipts

ERASED = Verdict(status=DeliveryStatus.SKIPPED, reason="recipient_erased")
NO_ADDRESS = Verdict(status=DeliveryStatus.FAILED, reason="no_address")
STALLED_AFTER = 4.0  # seconds; less than what the activity's time-out adds to the provider's deadline


class Delivering:
    """Raises only our own errors (database away), which Temporal retries without limit; the provider's are values."""

    def __init__(self, database: Database, providers: Mapping[str, Provider]) -> None:
        self._database = database
        self._providers = providers

    @activity.defn
    async def deliver(self, call: DeliverInput) -> DeliverResult:
        began = time.monotonic()
        claim = await self._claim(call)
        if isinstance(claim, DeliverResult):
            return claim
        provider = self._providers[call.provider]
        if claim.fresh and time.monotonic() - began > STALLED_AFTER:
            # Stopped between the row and the call: by now another worker may have said unknown. The socket is not open.
            outcome = told(Temporary("stalled"))
        elif claim.fresh or (provider.idempotent and not claim.attempt.reached):
            outcome = await _send(provider, message_of(call, claim))
        else:
            # The row was written and no answer recorded: somebody called, or died just before. Never call again.
            outcome = told(Unknown("worker_lost"))
        dead = address_of(call, claim) if outcome.gone and claim.device else None
        try:
            return await self._record(call, outcome, claim.ledger, dead)
        except DATABASE_DOWN:
            activity.logger.warning("outcome not recorded, the workflow will", extra={"attempt": str(claim.attempt.id)})
            return replace(outcome.result, recorded=False)

    @activity.defn
    async def record_outcome(self, late: RecordInput) -> DeliverResult:
        """What `deliver` could not write down itself, because the database went away after the provider's answer. A
        device that is gone stays: the vendor will say so again."""
        return await self._record(late.call, Told(result=late.outcome), None)

    async def _claim(self, call: DeliverInput) -> Claim | DeliverResult:
        async with self._database.transaction() as session:
            claim = await claim_attempt(session, call)
            if claim is None:
                return _stopped(ERASED)
            refusal = _refusal(call, claim)
            if refusal is not None:
                await session.rollback()
        return refusal or claim

    async def _record(
        self, call: DeliverInput, outcome: Told, seen: Ledger | None, dead: dict[str, Any] | None = None
    ) -> DeliverResult:
        """One transaction, with what receipts have said already: a bounce that was faster than our own record must not
        end the notification. One statement for the rows, unless somebody else wrote to them since the guard."""
        ident = attempt_id(call.delivery_id, call.endpoint_id, call.attempt_number)
        key = Key(notification_id=call.notification_id, tenant=call.tenant)
        at = datetime.now(UTC)
        early: list[StoredReceipt] = []

        def change(ledger: Ledger) -> Ledger:
            attempt = outcome.onto(ledger.attempts[ident])
            after = with_receipts(record_outcome(ledger, attempt, outcome.state, at), ident, early, at)
            arrived = after.deliveries[call.delivery_id].status in ARRIVED
            return finish(after, at) if call.ends and arrived else after

        async with self._database.transaction() as session:
            if outcome.result.provider_message_id and self._providers[call.provider].parses_receipts:
                early += await receipts.early(session, call.provider, outcome.result.provider_message_id)
            after = await amend(session, key, change, seen)
            if early:
                await receipts.mark_applied(session, early)
            if dead is not None:
                await devices.remove_dead(session, call.tenant, UUID(call.endpoint_id), dead)
        return result_of(after, after.attempts[ident], outcome.result.retry_after)


def _stopped(verdict: Verdict) -> DeliverResult:
    return DeliverResult(result=Result.STOPPED, stopped_as=verdict.status, reason=verdict.reason)


def _refusal(call: DeliverInput, claim: Claim) -> DeliverResult | None:
    if not claim.fresh:
        answered = claim.attempt.state is not AttemptState.SUBMITTING
        return result_of(claim.ledger, claim.attempt) if answered else None
    if reached := claim.ledger.reached(call.delivery_id, call.endpoint_id):
        return result_of(claim.ledger, reached)
    delivery = claim.ledger.deliveries[call.delivery_id]
    # Closed by a verdict of ours, as by a workflow that was lost since; one of several devices may have it already.
    if delivery.status not in OPEN and not any(a.reached for a in claim.ledger.attempts_of(call.delivery_id)):
        return _stopped(Verdict(status=delivery.status, reason=delivery.failure_reason or ""))
    if claim.ledger.finished_at is not None:
        return DeliverResult(result=Result.STOPPED, status=claim.ledger.status, finished=True)
    if address_of(call, claim) is None:
        return _stopped(NO_ADDRESS)
    verdict = stop(claim.ledger, claim.now, claim.kind, call.channel, claim.preferences)
    return None if verdict is None else _stopped(verdict)


async def _send(provider: Provider, message: Message) -> Told:
    """One try under the adapter's deadline. An error that is not the provider's is ours: if the database went away,
    Temporal tries `deliver` again, which finds the row and says unknown; a bug ends the workflow as internal."""
    try:
        async with asyncio.timeout(provider.deadline):
            return told(await provider.send(message))
    except TimeoutError:
        return told(Unknown("timeout"))
    except ProviderError as error:
        return told(error)


def address_of(call: DeliverInput, claim: Claim) -> dict[str, Any] | None:
    if call.channel in (Channel.PUSH, Channel.WEB_PUSH):
        return claim.device and {name: value for name, value in claim.device.items() if name != "kind"}
    contact = CONTACT_OF.get(call.channel)
    if contact is None:
        return {}
    value = claim.contact.get(contact)
    if not value:
        return None
    ascii_form = claim.contact.get("email_ascii") if contact == "email" else None
    address = {"url" if contact == "webhook_url" else contact: value}
    return address if ascii_form in (None, value) else {**address, "email_ascii": ascii_form}


def message_of(call: DeliverInput, claim: Claim) -> Message:
    return Message(
        attempt_id=claim.attempt.id,
        delivery_id=call.delivery_id,
        notification_id=call.notification_id,
        tenant=call.tenant,
        recipient_id=claim.recipient_id,
        notification_type=claim.kind.key,
        created_at=claim.created_at,
        channel=call.channel,
        endpoint_id=call.endpoint_id,
        address=address_of(call, claim) or {},
        content=claim.content,
        device_kind=DeviceKind(claim.device["kind"]) if claim.device else None,
    )
