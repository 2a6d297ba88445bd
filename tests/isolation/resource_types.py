"""Define the resources that an id in a request belongs to, and how a tenant creates one."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Any
from uuid import UUID, uuid4

from bootstrap import Container
from models.columns import new_id
from models.inbound_messages import InboundMessageRow
from models.inbox import InboxMessage
from models.notifications import Attempt, Delivery
from storage.digest_collection import collect_waiting
from tests.api_tenants import ApiTenant

TEMPLATE_VARIANT = {"channel": "sms", "language": "en"}


class ResourceType(StrEnum):
    """Marks the position of an id or a name of this type in a request."""

    ADDRESS = auto()
    ATTACHMENT = auto()
    ATTACHMENT_NAME = auto()
    AUDIT_SUBJECT = auto()
    CANCEL_KEY = auto()
    CHAT_ROOM = auto()
    CONTENT = auto()
    DEVICE = auto()
    DEVICE_TOKEN = auto()
    DIGEST = auto()
    ERASURE = auto()
    EVENT_ENDPOINT = auto()
    EVENT_MESSAGE = auto()
    IDEMPOTENCY_KEY = auto()
    INBOUND_MESSAGE = auto()
    INBOX_MESSAGE = auto()
    KEY = auto()
    NEW_TENANT = auto()
    NOTIFICATION = auto()
    NOTIFICATION_TYPE = auto()
    RECIPIENT = auto()
    SCHEDULE = auto()
    SENT_NOTIFICATION = auto()
    SUPPRESSION = auto()
    TAG = auto()
    TEMPLATE = auto()
    TENANT = auto()
    TOPIC = auto()


@dataclass(frozen=True, kw_only=True)
class OwnerTenant(ApiTenant):
    """Create one resource of each type on demand. All its names and content contain `mark`."""

    mark: str
    container: Container
    made: dict[ResourceType, str] = field(default_factory=dict)

    async def own(self, resource_type: ResourceType) -> str:
        if resource_type not in self.made:
            self.made[resource_type] = await MAKERS[resource_type](self)
        return self.made[resource_type]

    def word(self, resource_type: ResourceType) -> str:
        return f"{self.mark}-{resource_type.replace('_', '-')}"


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


async def _notification_type(owner: OwnerTenant, **more: Any) -> str:
    word = owner.word(ResourceType.NOTIFICATION_TYPE) + "".join(f"-{name}" for name in more)
    template = owner.word(ResourceType.TEMPLATE)
    route = [{"channels": ["sms"]}, {"channels": ["email"]}]
    body = {"route": route, "templates": {"sms": template, "email": template}, **more}
    await owner.call("PUT", f"/notification-types/{word}", body)
    return word


async def _notification(owner: OwnerTenant) -> str:
    return await _send(owner, await owner.own(ResourceType.NOTIFICATION_TYPE))


async def _sent_notification(owner: OwnerTenant) -> str:
    """Create the rows of a delivery that the provider accepted."""
    id = await _notification(owner)
    ids: dict[str, Any] = {"tenant": owner.tenant, "notification_id": UUID(id)}
    delivery = Delivery(id=uuid4(), **ids, generation=1, step=1, channel="sms", status="SENT")
    call: dict[str, Any] = {
        "endpoint_id": "sms",
        "number": 1,
        "provider": "sandbox",
        "state": "accepted",
        "evidence": "sent",
    }
    async with owner.database.transaction() as session:
        session.add(delivery)
        await session.flush()
        session.add(Attempt(id=uuid4(), delivery_id=delivery.id, **ids, **call))
    return id


async def _send(owner: OwnerTenant, notification_type: str, key: str | None = None) -> str:
    return await owner.send(
        notification_type,
        await owner.own(ResourceType.RECIPIENT),
        key=key,
        cancel_key=owner.word(ResourceType.CANCEL_KEY),
        tags=[owner.word(ResourceType.TAG)],
        payload={"text": owner.mark},
    )


async def _idempotency_key(owner: OwnerTenant) -> str:
    word = owner.word(ResourceType.IDEMPOTENCY_KEY)
    await _send(owner, await owner.own(ResourceType.NOTIFICATION_TYPE), word)
    return word


async def _digest(owner: OwnerTenant) -> str:
    """Collect an item like the dispatcher."""
    collecting = await _notification_type(owner, digest={"window": "1h"})
    await _send(owner, collecting)
    async with owner.database.transaction() as session:
        await collect_waiting(session, owner.container.catalog.type_by_id, 100)
    path = f"/digests?notification_type={collecting}"
    [window] = (await owner.call("GET", path))["items"]
    return str(window["id"])


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


async def _inbox_message(owner: OwnerTenant) -> str:
    id = uuid4()
    row = InboxMessage(
        id=id,
        tenant=owner.tenant,
        recipient_id=await owner.own(ResourceType.RECIPIENT),
        notification_id=UUID(await owner.own(ResourceType.NOTIFICATION)),
        content={"title": owner.mark, "body": owner.mark},
    )
    async with owner.database.transaction() as session:
        session.add(row)
    return str(id)


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


def part_of(whole: ResourceType, word: ResourceType | None) -> Callable[[OwnerTenant], Awaitable[str]]:
    """Return the type `word`, which is created with `whole`. Without `word` it is the mark, which the content
    contains."""

    async def make(owner: OwnerTenant) -> str:
        await owner.own(whole)
        return owner.mark if word is None else owner.word(word)

    return make


MAKERS: Mapping[ResourceType, Callable[[OwnerTenant], Awaitable[str]]] = {
    ResourceType.ADDRESS: _address,
    ResourceType.ATTACHMENT: _attachment,
    ResourceType.ATTACHMENT_NAME: _attachment_name,
    ResourceType.AUDIT_SUBJECT: _audit_subject,
    ResourceType.CANCEL_KEY: part_of(ResourceType.NOTIFICATION, ResourceType.CANCEL_KEY),
    ResourceType.CHAT_ROOM: _chat_room,
    ResourceType.CONTENT: part_of(ResourceType.NOTIFICATION, None),
    ResourceType.DEVICE: _device,
    ResourceType.DEVICE_TOKEN: part_of(ResourceType.DEVICE, ResourceType.DEVICE_TOKEN),
    ResourceType.DIGEST: _digest,
    ResourceType.ERASURE: _erasure,
    ResourceType.EVENT_ENDPOINT: _event_endpoint,
    ResourceType.EVENT_MESSAGE: _event_message,
    ResourceType.IDEMPOTENCY_KEY: _idempotency_key,
    ResourceType.INBOUND_MESSAGE: _inbound_message,
    ResourceType.INBOX_MESSAGE: _inbox_message,
    ResourceType.KEY: _key,
    ResourceType.NEW_TENANT: _new_tenant,
    ResourceType.NOTIFICATION: _notification,
    ResourceType.NOTIFICATION_TYPE: _notification_type,
    ResourceType.RECIPIENT: _recipient,
    ResourceType.SCHEDULE: _schedule,
    ResourceType.SENT_NOTIFICATION: _sent_notification,
    ResourceType.SUPPRESSION: _suppression,
    ResourceType.TAG: part_of(ResourceType.NOTIFICATION, ResourceType.TAG),
    ResourceType.TEMPLATE: _template,
    ResourceType.TENANT: _tenant,
    ResourceType.TOPIC: _topic,
}
