"""Define the resources that an id in a request belongs to, and the tenant that has one of each."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto

from bootstrap import Container
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


Maker = Callable[["OwnerTenant"], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class OwnerTenant(ApiTenant):
    """Create one resource of each type on demand. All its names and content contain `mark`."""

    mark: str
    container: Container
    makers: Mapping[ResourceType, Maker]
    made: dict[ResourceType, str] = field(default_factory=dict)

    async def own(self, resource_type: ResourceType) -> str:
        if resource_type not in self.made:
            self.made[resource_type] = await self.makers[resource_type](self)
        return self.made[resource_type]

    def word(self, resource_type: ResourceType) -> str:
        return f"{self.mark}-{resource_type.replace('_', '-')}"


def part_of(whole: ResourceType, word: ResourceType | None) -> Maker:
    """Return the type `word`, which is created with `whole`. Without `word` it is the mark, which the content
    contains."""

    async def make(owner: OwnerTenant) -> str:
        await owner.own(whole)
        return owner.mark if word is None else owner.word(word)

    return make
