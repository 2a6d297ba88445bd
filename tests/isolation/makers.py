"""Create one resource of each type for a tenant."""

from collections.abc import Mapping
from uuid import uuid4

from models.columns import new_id
from models.inbound_messages import InboundMessageRow
from tests.isolation.resource_types import TEMPLATE_VARIANT, Maker, OwnerTenant, ResourceType, part_of
from tests.isolation.send_makers import SEND_MAKERS


async def _recipient(owner: OwnerTenant) -> str:
    word = owner.word(ResourceType.RECIPIENT)
    await owner.call("PUT", f"/recipients/{word}", {"email": f"{owner.mark}@example.com"})
    return word


async def _device(owner: OwnerTenant) -> str:
    word, token = owner.word(ResourceType.DEVICE), owner.word(ResourceType.DEVICE_TOKEN)
    path = f"/recipients/{await owner.own(ResourceType.RECIPIENT)}/devices/{word}"
    await owner.call("PUT", path, {"kind": "fcm", "token": token})
    return word


async def _chat_room(owner: OwnerTenant) -> str:
    word = owner.word(ResourceType.CHAT_ROOM)
    url = "https://hooks.slack.com/services/T1/B1/word"
    await owner.call("PATCH", "/settings", {"chat_rooms": {word: url}})
    return word


async def _template(owner: OwnerTenant) -> str:
    """Create two versions, both published."""
    word = owner.word(ResourceType.TEMPLATE)
    for number in range(2):
        body = {"name": word, **TEMPLATE_VARIANT, "body_template": f"{owner.mark} {number}", "publish": True}
        await owner.call("POST", "/templates", body)
    return word


async def _inbound_message(owner: OwnerTenant) -> str:
    row = InboundMessageRow(
        id=new_id(),
        tenant=owner.tenant,
        provider="twilio",
        address_hash=owner.mark,
        from_number="+447700900123",
        to_number="+447700900001",
        text=owner.mark,
        recipient_ids=[await owner.own(ResourceType.RECIPIENT)],
    )
    async with owner.container.database.transaction() as session:
        session.add(row)
    return str(row.id)


async def _schedule(owner: OwnerTenant) -> str:
    word = owner.word(ResourceType.SCHEDULE)
    body = {
        "notification_type": await owner.own(ResourceType.NOTIFICATION_TYPE),
        "recipient_id": await owner.own(ResourceType.RECIPIENT),
        "cron": "0 9 * * mon",
        "timezone": "UTC",
    }
    await owner.call("PUT", f"/schedules/{word}", body)
    return word


async def _suppression(owner: OwnerTenant) -> str:
    body = {"channel": "email", "address": f"{owner.mark}@example.com"}
    return str((await owner.call("POST", "/suppressions", body))["id"])


async def _address(owner: OwnerTenant) -> str:
    await owner.own(ResourceType.SUPPRESSION)
    return f"{owner.mark}@example.com"


async def _event_endpoint(owner: OwnerTenant) -> str:
    word = owner.word(ResourceType.EVENT_ENDPOINT)
    await owner.call("PUT", f"/event-endpoints/{word}", {"url": f"https://example.com/{owner.mark}"})
    return word


async def _event_message(owner: OwnerTenant) -> str:
    path = f"/event-endpoints/{await owner.own(ResourceType.EVENT_ENDPOINT)}/test"
    return str((await owner.call("POST", path))["message_id"])


async def _attachment(owner: OwnerTenant) -> str:
    path = f"/attachments?name={await owner.own(ResourceType.ATTACHMENT_NAME)}"
    return str((await owner.call("POST", path, {"text": owner.mark}))["id"])


async def _attachment_name(owner: OwnerTenant) -> str:
    return f"{owner.mark}.json"


async def _key(owner: OwnerTenant) -> str:
    body = {"name": owner.word(ResourceType.KEY), "scopes": ["read"]}
    return str((await owner.call("POST", "/keys", body))["id"])


async def _erasure(owner: OwnerTenant) -> str:
    path = f"/recipients/{owner.word(ResourceType.ERASURE)}"
    await owner.call("PUT", path, {})
    return str((await owner.call("DELETE", path))["erasure_id"])


async def _topic(owner: OwnerTenant) -> str:
    word = owner.word(ResourceType.TOPIC)
    await owner.call("PUT", f"/topics/{word}/subscribers/{await owner.own(ResourceType.RECIPIENT)}")
    return word


async def _tenant(owner: OwnerTenant) -> str:
    return owner.tenant_key


async def _new_tenant(_: OwnerTenant) -> str:
    return f"tenant-{uuid4()}"


async def _audit_subject(owner: OwnerTenant) -> str:
    return f"notification_type/{await owner.own(ResourceType.NOTIFICATION_TYPE)}"


MAKERS: Mapping[ResourceType, Maker] = {
    **SEND_MAKERS,
    ResourceType.ADDRESS: _address,
    ResourceType.ATTACHMENT: _attachment,
    ResourceType.ATTACHMENT_NAME: _attachment_name,
    ResourceType.AUDIT_SUBJECT: _audit_subject,
    ResourceType.CHAT_ROOM: _chat_room,
    ResourceType.DEVICE: _device,
    ResourceType.DEVICE_TOKEN: part_of(ResourceType.DEVICE, ResourceType.DEVICE_TOKEN),
    ResourceType.ERASURE: _erasure,
    ResourceType.EVENT_ENDPOINT: _event_endpoint,
    ResourceType.EVENT_MESSAGE: _event_message,
    ResourceType.INBOUND_MESSAGE: _inbound_message,
    ResourceType.KEY: _key,
    ResourceType.NEW_TENANT: _new_tenant,
    ResourceType.RECIPIENT: _recipient,
    ResourceType.SCHEDULE: _schedule,
    ResourceType.SUPPRESSION: _suppression,
    ResourceType.TEMPLATE: _template,
    ResourceType.TENANT: _tenant,
    ResourceType.TOPIC: _topic,
}
