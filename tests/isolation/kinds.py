"""What an id in a request belongs to, and how a tenant makes one."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Any
from uuid import UUID, uuid4

from httpx2 import AsyncClient, Response

from bootstrap import Parts
from models.inbox import InboxMessage
from models.notifications import Attempt, Delivery
from storage.digest_collection import collect_waiting

TEMPLATE_PLACE = {"channel": "sms", "language": "en"}


class Kind(StrEnum):
    """Stands in a request where an id or a name of this kind goes."""

    ADDRESS = auto()
    AUDIT_SUBJECT = auto()
    CANCEL_KEY = auto()
    CONTENT = auto()
    DEVICE = auto()
    DEVICE_TOKEN = auto()
    DIGEST = auto()
    ERASURE = auto()
    EVENT_ENDPOINT = auto()
    EVENT_MESSAGE = auto()
    IDEMPOTENCY_KEY = auto()
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
class Owner:
    """A tenant that makes one thing of each kind when it is asked for it. All its names and content contain `mark`."""

    tenant: UUID
    tenant_key: str
    mark: str
    http: AsyncClient
    parts: Parts
    made: dict[Kind, str] = field(default_factory=dict)

    async def own(self, kind: Kind) -> str:
        if kind not in self.made:
            self.made[kind] = await MAKERS[kind](self)
        return self.made[kind]

    def word(self, kind: Kind) -> str:
        return f"{self.mark}-{kind.replace('_', '-')}"

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        response = await self.http.request(method, path, json=body, headers=headers)
        assert response.is_success, f"{method} {path}: {response.text}"
        return response


async def _recipient(owner: Owner) -> str:
    word = owner.word(Kind.RECIPIENT)
    await owner.call("PUT", f"/recipients/{word}", {"email": f"{owner.mark}@example.com"})
    return word


async def _device(owner: Owner) -> str:
    word, token = owner.word(Kind.DEVICE), owner.word(Kind.DEVICE_TOKEN)
    path = f"/recipients/{await owner.own(Kind.RECIPIENT)}/devices/{word}"
    await owner.call("PUT", path, {"kind": "fcm", "token": token})
    return word


async def _template(owner: Owner) -> str:
    """Two versions, both of them published."""
    word = owner.word(Kind.TEMPLATE)
    for number in range(2):
        body = {"name": word, **TEMPLATE_PLACE, "body_template": f"{owner.mark} {number}", "publish": True}
        await owner.call("POST", "/templates", body)
    return word


async def _notification_type(owner: Owner, **more: Any) -> str:
    word = owner.word(Kind.NOTIFICATION_TYPE) + "".join(f"-{name}" for name in more)
    template = owner.word(Kind.TEMPLATE)
    body = {"route": [{"channels": ["sms"]}], "templates": {"sms": template}, **more}
    await owner.call("PUT", f"/notification-types/{word}", body)
    return word


async def _notification(owner: Owner) -> str:
    return await _send(owner, await owner.own(Kind.NOTIFICATION_TYPE))


async def _sent_notification(owner: Owner) -> str:
    """With the rows of a delivery that the provider accepted."""
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
    async with owner.parts.database.transaction() as session:
        session.add(delivery)
        await session.flush()
        session.add(Attempt(id=uuid4(), delivery_id=delivery.id, **ids, **call))
    return id


async def _send(owner: Owner, notification_type: str, **headers: str) -> str:
    body = {
        "notification_type": notification_type,
        "recipient_id": await owner.own(Kind.RECIPIENT),
        "cancel_key": owner.word(Kind.CANCEL_KEY),
        "tags": [owner.word(Kind.TAG)],
        "payload": {"text": owner.mark},
    }
    id: str = (await owner.call("POST", "/notifications/send", body, **headers)).json()["id"]
    return id


async def _idempotency_key(owner: Owner) -> str:
    word = owner.word(Kind.IDEMPOTENCY_KEY)
    await _send(owner, await owner.own(Kind.NOTIFICATION_TYPE), **{"Idempotency-Key": word})
    return word


async def _digest(owner: Owner) -> str:
    """Does what the dispatcher would."""
    collecting = await _notification_type(owner, digest={"window": "1h"})
    await _send(owner, collecting)
    async with owner.parts.database.transaction() as session:
        await collect_waiting(session, owner.parts.catalog.type_by_id, 100)
    path = f"/digests?notification_type={collecting}"
    [window] = (await owner.call("GET", path)).json()["items"]
    return str(window["id"])


async def _inbox_message(owner: Owner) -> str:
    id = uuid4()
    row = InboxMessage(
        id=id,
        tenant=owner.tenant,
        recipient_id=await owner.own(Kind.RECIPIENT),
        notification_id=UUID(await owner.own(Kind.NOTIFICATION)),
        content={"title": owner.mark, "body": owner.mark},
    )
    async with owner.parts.database.transaction() as session:
        session.add(row)
    return str(id)


async def _schedule(owner: Owner) -> str:
    word = owner.word(Kind.SCHEDULE)
    body = {
        "notification_type": await owner.own(Kind.NOTIFICATION_TYPE),
        "recipient_id": await owner.own(Kind.RECIPIENT),
        "cron": "0 9 * * mon",
        "timezone": "UTC",
    }
    await owner.call("PUT", f"/schedules/{word}", body)
    return word


async def _suppression(owner: Owner) -> str:
    body = {"channel": "email", "address": f"{owner.mark}@example.com"}
    return str((await owner.call("POST", "/suppressions", body)).json()["id"])


async def _address(owner: Owner) -> str:
    await owner.own(Kind.SUPPRESSION)
    return f"{owner.mark}@example.com"


async def _event_endpoint(owner: Owner) -> str:
    word = owner.word(Kind.EVENT_ENDPOINT)
    await owner.call("PUT", f"/event-endpoints/{word}", {"url": f"https://example.com/{owner.mark}"})
    return word


async def _event_message(owner: Owner) -> str:
    path = f"/event-endpoints/{await owner.own(Kind.EVENT_ENDPOINT)}/test"
    return str((await owner.call("POST", path)).json()["message_id"])


async def _key(owner: Owner) -> str:
    body = {"name": owner.word(Kind.KEY), "scopes": ["read"]}
    return str((await owner.call("POST", "/keys", body)).json()["id"])


async def _erasure(owner: Owner) -> str:
    path = f"/recipients/{owner.word(Kind.ERASURE)}"
    await owner.call("PUT", path, {})
    return str((await owner.call("DELETE", path)).json()["erasure_id"])


async def _topic(owner: Owner) -> str:
    word = owner.word(Kind.TOPIC)
    await owner.call("PUT", f"/topics/{word}/subscribers/{await owner.own(Kind.RECIPIENT)}")
    return word


async def _tenant(owner: Owner) -> str:
    return owner.tenant_key


async def _new_tenant(_: Owner) -> str:
    return f"tenant-{uuid4()}"


async def _audit_subject(owner: Owner) -> str:
    return f"notification_type/{await owner.own(Kind.NOTIFICATION_TYPE)}"


def part_of(whole: Kind, word: Kind | None) -> Callable[[Owner], Awaitable[str]]:
    """The kind `word`, which is made with `whole`; without it the mark, which is in the content."""

    async def make(owner: Owner) -> str:
        await owner.own(whole)
        return owner.mark if word is None else owner.word(word)

    return make


MAKERS: Mapping[Kind, Callable[[Owner], Awaitable[str]]] = {
    Kind.ADDRESS: _address,
    Kind.AUDIT_SUBJECT: _audit_subject,
    Kind.CANCEL_KEY: part_of(Kind.NOTIFICATION, Kind.CANCEL_KEY),
    Kind.CONTENT: part_of(Kind.NOTIFICATION, None),
    Kind.DEVICE: _device,
    Kind.DEVICE_TOKEN: part_of(Kind.DEVICE, Kind.DEVICE_TOKEN),
    Kind.DIGEST: _digest,
    Kind.ERASURE: _erasure,
    Kind.EVENT_ENDPOINT: _event_endpoint,
    Kind.EVENT_MESSAGE: _event_message,
    Kind.IDEMPOTENCY_KEY: _idempotency_key,
    Kind.INBOX_MESSAGE: _inbox_message,
    Kind.KEY: _key,
    Kind.NEW_TENANT: _new_tenant,
    Kind.NOTIFICATION: _notification,
    Kind.NOTIFICATION_TYPE: _notification_type,
    Kind.RECIPIENT: _recipient,
    Kind.SCHEDULE: _schedule,
    Kind.SENT_NOTIFICATION: _sent_notification,
    Kind.SUPPRESSION: _suppression,
    Kind.TAG: part_of(Kind.NOTIFICATION, Kind.TAG),
    Kind.TEMPLATE: _template,
    Kind.TENANT: _tenant,
    Kind.TOPIC: _topic,
}
