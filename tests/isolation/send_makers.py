"""Create the notifications of a tenant, and what belongs to them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from models.inbox import InboxMessage
from models.notifications import Attempt, Delivery
from storage.digest_collection import collect_waiting
from tests.isolation.resource_types import Maker, OwnerTenant, ResourceType, part_of


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


SEND_MAKERS: Mapping[ResourceType, Maker] = {
    ResourceType.CANCEL_KEY: part_of(ResourceType.NOTIFICATION, ResourceType.CANCEL_KEY),
    ResourceType.CONTENT: part_of(ResourceType.NOTIFICATION, None),
    ResourceType.DIGEST: _digest,
    ResourceType.IDEMPOTENCY_KEY: _idempotency_key,
    ResourceType.INBOX_MESSAGE: _inbox_message,
    ResourceType.NOTIFICATION: _notification,
    ResourceType.NOTIFICATION_TYPE: _notification_type,
    ResourceType.SENT_NOTIFICATION: _sent_notification,
    ResourceType.TAG: part_of(ResourceType.NOTIFICATION, ResourceType.TAG),
}
