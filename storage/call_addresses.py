"""Decrypt the address of a call from the row of its claimed attempt."""

from dataclasses import dataclass, field
from typing import Any

import structlog

from domain.json_types import Json
from domain.messages import DeliverInput
from domain.routing import CONTACT_OF
from storage import chat_rooms, devices, recipients
from storage.encryption import SECRET_MEMBERS, DecryptionError, Encryption
from storage.statements import decoded

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallAddress:
    """`contact` has the recipient's plain contact points and the one of the channel, or the URL of the tenant's chat
    room; `device` is the endpoint's, with its own `locale`. `is_decrypted` False: the channel needs a secret whose key
    is missing, so that `contact` and `device` lack it."""

    contact: Json = field(repr=False)
    device: Json | None = field(repr=False)
    locale: str | None = None
    is_decrypted: bool = True


def call_address(encryption: Encryption, call: DeliverInput, row: Any, room: str | None) -> CallAddress:
    """Decrypt what the call's channel needs and nothing else: another secret whose key is missing does not stop it.
    `room` is the tenant's chat room that gets the message instead of the recipient's address."""
    stored, owner = _stored_contact(call, row), recipients.secret_owner_of(call.tenant, row["recipient_id"])
    if room is not None:
        stored, owner = {"chat_url": row["room_url"]}, chat_rooms.secret_owner_of(call.tenant, room)
    device, locale = decoded(row["device"]), None
    try:
        contact = encryption.decrypt_members(stored, owner)
        if device is not None:
            owner = devices.secret_owner_of(call.tenant, row["recipient_id"], device["device"])
            locale = device["locale"]
            device = {"kind": device["kind"], **encryption.decrypt_members(device["address"], owner)}
    except DecryptionError as error:
        log.error("an address cannot be decrypted", notification=str(call.notification_id), reason=str(error))
        return CallAddress(contact={}, device=None, is_decrypted=False)
    return CallAddress(contact=contact, device=device, locale=locale)


def _stored_contact(call: DeliverInput, row: Any) -> Json:
    needed_contact = CONTACT_OF.get(call.channel)
    return {n: value for n, value in decoded(row["contact"]).items() if n == needed_contact or n not in SECRET_MEMBERS}
