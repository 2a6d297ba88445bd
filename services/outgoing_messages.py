"""Build the message for an adapter, with its one address, from the data that the guard has read."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from domain.channels import Channel, DeviceKind
from domain.email_options import NO_EMAIL_OPTIONS, EmailOptions, Mailbox, is_in_domains, mailbox_of
from domain.json_types import Json
from domain.messages import DeliverInput
from domain.outgoing_messages import OutgoingMessage
from domain.routing import CONTACT_OF, URL_CONTACTS
from domain.translations import content_for
from providers.outcomes import ProviderOutcome
from services.contact_rules import phone_refusal
from storage.attempts import AttemptClaim


def address_of(call: DeliverInput, claim: AttemptClaim) -> Json | None:
    """Return the address of the call, or None if the recipient no longer has one."""
    if call.channel in (Channel.PUSH, Channel.WEB_PUSH):
        return claim.address.device and {name: value for name, value in claim.address.device.items() if name != "kind"}
    contact = CONTACT_OF.get(call.channel)
    if contact is None:
        return {}
    value = claim.address.contact.get(contact)
    if not value:
        return None
    ascii_form = claim.address.contact.get("email_ascii") if contact == "email" else None
    address = {"url" if contact in URL_CONTACTS else contact: value}
    return address if ascii_form in (None, value) else {**address, "email_ascii": ascii_form}


def number_refused(call: DeliverInput, claim: AttemptClaim) -> str | None:
    """Return why the number is refused. It may have been stored before the tenant chose its regions."""
    phone = claim.address.contact.get("phone") if call.channel is Channel.SMS else None
    return phone_refusal(phone, claim.phone_regions) if phone else None


def outgoing_message_of(call: DeliverInput, claim: AttemptClaim) -> OutgoingMessage:
    address = address_of(call, claim) or {}
    return OutgoingMessage(
        attempt_id=claim.attempt.id,
        delivery_id=call.delivery_id,
        notification_id=call.notification_id,
        tenant=call.tenant,
        recipient_id=claim.recipient_id,
        notification_type=claim.notification_type.key,
        created_at=claim.created_at,
        channel=call.channel,
        endpoint_id=call.endpoint_id,
        address=address,
        content=content_for(claim.content, claim.address.locale),
        device_kind=DeviceKind(claim.address.device["kind"]) if claim.address.device else None,
        priority=claim.priority,
        expires_at=claim.ledger.expires_at,
        tags=claim.tags,
        vendor_tracking=claim.notification_type.tracking.vendor,
        email=_email_options(call, claim, address),
    )


def _email_options(call: DeliverInput, claim: AttemptClaim, recipient: Json) -> EmailOptions:
    """Return the options of the send, else of the type, else of the tenant. An address whose domain was withdrawn is
    not used."""
    if call.channel is not Channel.EMAIL:
        return NO_EMAIL_OPTIONS
    given, notification_type = claim.email.given, claim.notification_type
    copied = {str(recipient.get("email_ascii") or recipient.get("email")).lower()}
    return EmailOptions(
        sender=_first_allowed(claim, notification_type.sender, claim.email.sender),
        reply_to=_first_allowed(
            claim, mailbox_of(given.get("reply_to")), notification_type.reply_to, claim.email.reply_to
        ),
        cc=_without(given.get("cc", ()), copied),
        bcc=_without(given.get("bcc", ()), copied),
        headers=given.get("headers", {}),
    )


def _first_allowed(claim: AttemptClaim, *mailboxes: Mailbox | None) -> Mailbox | None:
    return next((each for each in mailboxes if each and is_in_domains(each.email, claim.email.domains)), None)


def _without(addresses: Sequence[str], copied: set[str]) -> tuple[str, ...]:
    """Return the addresses that are not yet in `copied`, and add them to it: an address gets one copy."""
    left = tuple(address for address in addresses if address.lower() not in copied)
    copied.update(address.lower() for address in left)
    return left


def invalid_device_of(
    call: DeliverInput, claim: AttemptClaim, outcome: ProviderOutcome
) -> tuple[UUID, Json, datetime] | None:
    """Return the device to remove with its invalid address and the time since when it is invalid, at the latest that of
    the call: the device may have registered again since."""
    address = address_of(call, claim)
    if not (outcome.is_gone and claim.address.device and address):
        return None
    return UUID(call.endpoint_id), address, min(outcome.gone_since or claim.now, claim.now)
