"""The one address that a call needs, decrypted when the guard reads it. Called by `storage/attempts.py`, `deliver`."""

from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import text

from domain.json_types import JsonObject
from domain.messages import DeliverInput
from domain.names import derived_id
from domain.routing import CONTACT_OF
from storage import devices, recipients
from storage.encryption import SECRET_MEMBERS, DecryptionError, Encryption
from storage.rows import decoded
from storage.statements import Executor

log = structlog.get_logger(__name__)

NOT_DECRYPTED = "not_decrypted"

INSERT_SKIPPED_EVENT = text("""
INSERT INTO event (id, tenant, notification_id, at, kind, channel, reason, detail, delivery_id)
VALUES (:event_id, :tenant, :notification_id, now(), 'device_skipped', :channel, :reason,
        jsonb_build_object('device', CAST(:device AS text)), :delivery_id)
ON CONFLICT (id) DO NOTHING
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallAddress:
    """`contact` has the recipient's plain contact points and the one of the channel; `device` is the endpoint's.
    `is_decrypted` False: the channel needs a secret whose key is missing, and both lack it."""

    contact: JsonObject = field(repr=False)
    device: JsonObject | None = field(repr=False)
    is_decrypted: bool = True


def call_address(encryption: Encryption, call: DeliverInput, row: Any) -> CallAddress:
    """Decrypt what the call's channel needs and nothing else: another secret whose key is missing does not stop it."""
    needed_contact = CONTACT_OF.get(call.channel)
    stored = {
        n: value for n, value in decoded(row["contact"]).items() if n == needed_contact or n not in SECRET_MEMBERS
    }
    device, owner = decoded(row["device"]), recipients.secret_owner_of(call.tenant, row["recipient_id"])
    try:
        contact = encryption.decrypt_members(stored, owner)
        if device is not None:
            owner = devices.secret_owner_of(call.tenant, row["recipient_id"], device["device"])
            device = {"kind": device["kind"], **encryption.decrypt_members(device["address"], owner)}
    except DecryptionError as error:
        log.error("an address cannot be decrypted", notification=str(call.notification_id), reason=str(error))
        return CallAddress(contact={}, device=None, is_decrypted=False)
    return CallAddress(contact=contact, device=device)


async def record_skipped_device(session: Executor, call: DeliverInput) -> None:
    """Write into the timeline that the device's address cannot be decrypted. Idempotent."""
    values = {
        "event_id": derived_id("event", call.delivery_id, call.endpoint_id, NOT_DECRYPTED),
        "tenant": call.tenant,
        "notification_id": call.notification_id,
        "channel": call.channel,
        "reason": NOT_DECRYPTED,
        "device": call.endpoint_id,
        "delivery_id": call.delivery_id,
    }
    await session.execute(INSERT_SKIPPED_EVENT, values)
